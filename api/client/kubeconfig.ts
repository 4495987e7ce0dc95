import { parse } from 'yaml';

/** How to reach and convince the API servers of a cluster. Files that the kubeconfig only names are not read: ours embed everything. */
export interface KubeconfigAccess {
  readonly server: string;
  /** Further servers of the same cluster, for clients that can change over; absent: none. */
  readonly otherServers?: readonly string[];
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly token: string | undefined;
}

interface RawCluster {
  server?: string;
  'certificate-authority-data'?: string;
}

interface RawKubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: RawCluster }[];
  users?: { name: string; user: { 'client-certificate-data'?: string; 'client-key-data'?: string; token?: string } }[];
}

/**
 * Reads the current context; other contexts of its user lead to further servers of the cluster where the CA is the same. Throws a plain
 * Error that says what is missing.
 */
export function parseKubeconfig(text: string): KubeconfigAccess {
  const config = parse(text) as RawKubeconfig | null;
  const context = config?.contexts?.find((entry) => entry.name === config['current-context'])?.context;
  if (context === undefined) throw new Error('kubeconfig: current-context names no context');
  const cluster = config?.clusters?.find((entry) => entry.name === context.cluster)?.cluster;
  if (cluster?.server === undefined) throw new Error(`kubeconfig: no server for cluster "${context.cluster}"`);
  const user = config?.users?.find((entry) => entry.name === context.user)?.user ?? {};
  const otherServers = (config?.contexts ?? [])
    .filter(({ context: other }) => other.user === context.user && other.cluster !== context.cluster)
    .flatMap(({ context: other }) => config?.clusters?.find(({ name }) => name === other.cluster)?.cluster ?? [])
    .filter((other) => isSameCa(other, cluster))
    .flatMap(({ server }) => server ?? []);
  return {
    server: cluster.server,
    ...(otherServers.length > 0 ? { otherServers } : {}),
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
    token: user.token,
  };
}

/** One that embeds no CA says nothing of what cluster it is. */
function isSameCa(a: RawCluster, b: RawCluster): boolean {
  const ca = a['certificate-authority-data'];
  return ca !== undefined && ca === b['certificate-authority-data'];
}

function decode(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString();
}
