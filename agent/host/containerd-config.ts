export interface ContainerdConfigOptions {
  /** 2 for containerd 1.x, 3 for 2.x. */
  readonly configVersion: 2 | 3;
  readonly rootDirectory: string;
  readonly stateDirectory: string;
  readonly socketPath: string;
  readonly sandboxImage: string;
  readonly cniBinDirectory: string;
  readonly cniConfigDirectory: string;
  readonly snapshotter: 'overlayfs' | 'native';
  /** Containers under systemd slices; needs systemd as PID 1. */
  readonly systemdCgroup: boolean;
  /** Without CAP_SYS_RESOURCE nobody may lower an OOM score, and runc fails where it tries. */
  readonly restrictOomScoreAdj: boolean;
  /** `hosts.toml` files of mirrors and registries. */
  readonly registryConfigDirectory: string;
}

/** Plug-ins that probe for file systems we never use, write to /opt, or dial a tracing collector. */
const DISABLED_PLUGINS = [
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.internal.v1.opt',
  'io.containerd.internal.v1.tracing',
  'io.containerd.tracing.processor.v1.otlp',
];

/** Kubernetes' own log line limit: longer lines are split and marked partial. */
const MAX_LOG_LINE_BYTES = 16384;

/** TOML basic strings escape like JSON strings. */
const quote = (text: string) => JSON.stringify(text);

/** `containerd --version` -> the newest configuration format that it reads. */
export function containerdConfigVersion(versionLine: string): 2 | 3 {
  const major = /\bv?(\d+)\.\d+\.\d+/.exec(versionLine)?.[1];
  return Number(major ?? 1) >= 2 ? 3 : 2;
}

export function renderContainerdConfig(options: ContainerdConfigOptions): string {
  const head = `version = ${options.configVersion}
root = ${quote(options.rootDirectory)}
state = ${quote(options.stateDirectory)}
disabled_plugins = [${DISABLED_PLUGINS.map(quote).join(', ')}]

# What it does is in the events of the pods; a line for each step would wear the disk.
[debug]
  level = "warn"

[grpc]
  address = ${quote(options.socketPath)}

[ttrpc]
  address = ${quote(`${options.socketPath}.ttrpc`)}
`;
  return `${head}\n${options.configVersion === 2 ? renderVersion2(options) : renderVersion3(options)}`;
}

function renderVersion2(options: ContainerdConfigOptions): string {
  const cri = `plugins."io.containerd.grpc.v1.cri"`;
  return `[${cri}]
  sandbox_image = ${quote(options.sandboxImage)}
  restrict_oom_score_adj = ${options.restrictOomScoreAdj}
  max_container_log_line_size = ${MAX_LOG_LINE_BYTES}
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  # 1.7 knows it and leaves it off; before, nothing of the kind is there.
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
  [${cri}.cni]
    bin_dir = ${quote(options.cniBinDirectory)}
    conf_dir = ${quote(options.cniConfigDirectory)}
  [${cri}.containerd]
    snapshotter = ${quote(options.snapshotter)}
    default_runtime_name = "runc"
${renderRunc(`${cri}.containerd.runtimes.runc`, options)}
  [${cri}.registry]
    config_path = ${quote(options.registryConfigDirectory)}
`;
}

function renderVersion3(options: ContainerdConfigOptions): string {
  const runtime = `plugins."io.containerd.cri.v1.runtime"`;
  const images = `plugins."io.containerd.cri.v1.images"`;
  // NRI listens at one fixed path: a second containerd of the host would fight for it.
  return `[plugins."io.containerd.nri.v1.nri"]
  disable = true

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"

[${runtime}]
  restrict_oom_score_adj = ${options.restrictOomScoreAdj}
  max_container_log_line_size = ${MAX_LOG_LINE_BYTES}
  [${runtime}.cni]
    bin_dir = ${quote(options.cniBinDirectory)}
    conf_dir = ${quote(options.cniConfigDirectory)}
  [${runtime}.containerd]
    default_runtime_name = "runc"
${renderRunc(`${runtime}.containerd.runtimes.runc`, options)}

[${images}]
  snapshotter = ${quote(options.snapshotter)}
  [${images}.pinned_images]
    sandbox = ${quote(options.sandboxImage)}
  [${images}.registry]
    config_path = ${quote(options.registryConfigDirectory)}
`;
}

/** runc's own state, which by default all containerds of a host share, lies with ours. */
function renderRunc(table: string, { systemdCgroup, stateDirectory }: ContainerdConfigOptions): string {
  return `    [${table}]
      runtime_type = "io.containerd.runc.v2"
      [${table}.options]
        Root = ${quote(`${stateDirectory}/runc`)}
        SystemdCgroup = ${systemdCgroup}`;
}
