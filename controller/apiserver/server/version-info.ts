/** `version.Info` of Kubernetes, as `/version` answers it. */
export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly platform: string;
}

/** The Kubernetes version whose API is served. */
const MAJOR = '1';
const MINOR = '36';

/** `ourVersion` such as `0.1.0`; commit and build date may be unknown. */
export function versionInfo(
  ourVersion: string,
  build: { readonly commit?: string; readonly date?: string } = {},
): VersionInfo {
  return {
    major: MAJOR,
    minor: MINOR,
    gitVersion: `v${MAJOR}.${MINOR}.0+coracle.${ourVersion}`,
    gitCommit: build.commit ?? '',
    gitTreeState: 'clean',
    buildDate: build.date ?? '1970-01-01T00:00:00Z',
    // Fields that clients expect to find; this server is no Go program.
    goVersion: `node-${process.version}`,
    compiler: 'v8',
    platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}
