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

# The process that plays systemd for a service here, or nothing. A recorded number may since have been given to another process, so only
# one that runs our supervisor counts. Arguments: service
supervisor_of() {
  local pid
  pid=$(cat "$run_dir/$1.pid" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q "$prefix/bin/supervise $1 " || return 1
  echo "$pid"
}

# For wait_for: a zombie that nobody reaps (containers without an init) counts as stopped. Arguments: service
is_stopped() { ! supervisor_of "$1"; }

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
  say "installing packages: ${missing[*]}"
  command -v apt-get >/dev/null || die "this host lacks ${missing[*]} and has no apt-get; install them by hand"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# Node's own shared libraries: minimal installations lack this one.
install_node_libraries() {
  PATH="$PATH:/usr/sbin:/sbin" ldconfig -p | grep -q 'libatomic\.so\.1' || install_missing /nowhere/libatomic=libatomic1
}

# The npm packages of this checkout, when they are missing or older than the lock file.
install_npm_packages() {
  install_node_libraries
  [ -d "$root/node_modules/.bin" ] && [ "$root/node_modules/.package-lock.json" -nt "$root/package-lock.json" ] && return 0
  command -v npm >/dev/null || install_missing npm=npm
  say "installing npm packages"
  (cd "$root" && npm ci --no-audit --no-fund --loglevel=error)
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
