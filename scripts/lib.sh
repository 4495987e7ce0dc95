# Sourced by scripts/up, scripts/down and scripts/test: what they share.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=/usr/lib/coracle
state=/var/lib/coracle
run_dir=/run/coracle
etc=/etc/coracle

say() { echo "coracle: $*" >&2; }
die() {
  say "$*"
  exit 1
}

require_root() { [ "$(id -u)" = 0 ] || die "run this as root: sudo $0"; }
has_systemd() { [ -d /run/systemd/system ]; }

# Ends the script for -h and --help with its usage text on stdout. Arguments: usage text, arguments of the script ...
answer_help() {
  local usage=$1 word
  shift
  for word in "$@"; do
    case "$word" in -h | --help)
      echo "$usage"
      exit 0
      ;;
    esac
  done
}

# Ends the script because of an argument that it does not know. Arguments: usage text, the argument
refuse_argument() {
  say "unknown argument \"$2\""
  echo "$1" >&2
  exit 2
}

# The words of a process's command line, a space after each; nothing for one that has ended. Processes of another PID namespace are another
# machine's in all but hardware (a container may run Coracle too) and do not count. Arguments: process id
command_line_of() {
  [ "$(readlink "/proc/$1/ns/pid" 2>/dev/null)" = "$(readlink /proc/self/ns/pid)" ] || return 1
  # stderr first: it is the shell that complains when the process has just ended.
  tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline"
}

# The process that plays systemd for a service here, or nothing. A recorded number may since have been given to another process, so only
# one that runs our supervisor counts. Arguments: service
supervisor_of() {
  local pid
  pid=$(cat "$run_dir/$1.pid" 2>/dev/null) || return 1
  command_line_of "$pid" | grep -q "$prefix/bin/supervise $1 " || return 1
  echo "$pid"
}

# For wait_for: a zombie that nobody reaps (containers without an init) counts as stopped. Arguments: service
is_stopped() { ! supervisor_of "$1"; }

has_ended() { [ -z "$(command_line_of "$1")" ]; }

# Ends the service that a killed supervisor left behind, or the next one could not have its port and its files. A containerd that answers
# stays as it is. Arguments: service
stop_leftover_child() {
  local name=$1 pid
  pid=$(cat "$run_dir/$name.child.pid" 2>/dev/null) || return 0
  case "$name $(command_line_of "$pid")" in
    "controller $prefix/lib/node "*" controller "* | "agent $prefix/lib/node "*" agent "*) ;;
    "containerd "*" -c $run_dir/containerd.toml "*) ! timeout 10 ctr --address "$run_dir/containerd.sock" version >/dev/null 2>&1 || return 0 ;;
    *) return 0 ;;
  esac
  say "stopping the $name that outlived its supervisor"
  kill -TERM "$pid" 2>/dev/null || return 0
  wait_for 30 "$name to stop" has_ended "$pid" || kill -KILL "$pid" 2>/dev/null || true
}

# Installs the packages whose program is missing. A program that is there, from whatever source (Docker's own containerd for one), is used
# as it is: no container engine of the host is ever replaced.
# Arguments: program=package ...
install_missing() {
  local missing=() pair program package
  for pair in "$@"; do
    program=${pair%%=*} package=${pair#*=}
    case "$program" in
      /*) [ -e "$program" ] || missing+=("$package") ;;
      *) PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 || missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing packages, which may take minutes: ${missing[*]}"
  command -v apt-get >/dev/null || die "this host lacks ${missing[*]} and has no apt-get; install them by hand"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Node's own shared libraries: minimal installations lack this one.
lacks_node_library() { ! PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -q 'libatomic\.so\.1'; }

has_npm_packages() { [ -d "$root/node_modules/.bin" ] && [ "$root/node_modules/.package-lock.json" -nt "$root/package-lock.json" ]; }

# What install_npm_packages would install, for install_missing: one run of apt-get takes less time than several.
npm_needs() {
  ! lacks_node_library || echo /nowhere/libatomic=libatomic1
  has_npm_packages || echo npm=npm
}

# What root makes in somebody's checkout is that person's, or their next npm ci would fail. Arguments: name in the checkout ...
belongs_to_owner() { (cd "$root" && chown -R --reference=. -- "$@"); }

# The npm packages of this checkout, when they are missing or older than the lock file.
install_npm_packages() {
  # shellcheck disable=SC2046 # words
  install_missing $(npm_needs)
  has_npm_packages && return 0
  say "installing npm packages"
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error >/dev/null)
  belongs_to_owner node_modules
}

# A YAML file without some keys of its top level, and without what belongs to them. Arguments: keys with | between them, file
yaml_without() { awk -v keys="^($1):" '/^[^ -]/ { gone = $0 ~ keys } !gone' "$2"; }

# Lines of our logs as a person reads them: what, and why. What is said again and again is said once.
tell_plainly() {
  sed -E 's/^\{.*"message":"(([^"\\]|\\.)*)".*"msg":"(([^"\\]|\\.)*)"\}$/\3: \1/; s/^\{.*"msg":"(([^"\\]|\\.)*)"\}$/\1/' | uniq
}

# Waits until the command succeeds. Arguments: seconds, what (for the message), command ...
wait_for() {
  local seconds=$1 what=$2
  shift 2
  local deadline=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.2
  done
}
