import { parse } from 'yaml';

/** How to reach and convince one API server. Files that the kubeconfig only names are not read: ours embed everything. */
export interface KubeconfigAccess {
  readonly server: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly token: string | undefined;
}

interface RawKubeconfig {
  'current-context'?: string;
  contexts?: { name: string; context: { cluster: string; user: string } }[];
  clusters?: { name: string; cluster: { server?: string; 'certificate-authority-data'?: string } }[];
  users?: { name: string; user: { 'client-certificate-data'?: string; 'client-key-data'?: string; token?: string } }[];
}

/** Reads the current context. Throws a plain Error that says what is missing. */
export function parseKubeconfig(text: string): KubeconfigAccess {
  const config = parse(text) as RawKubeconfig | null;
  const context = config?.contexts?.find((entry) => entry.name === config['current-context'])?.context;
  if (context === undefined) throw new Error('kubeconfig: current-context names no context');
  const cluster = config?.clusters?.find((entry) => entry.name === context.cluster)?.cluster;
  if (cluster?.server === undefined) throw new Error(`kubeconfig: no server for cluster "${context.cluster}"`);
  const user = config?.users?.find((entry) => entry.name === context.user)?.user ?? {};
  return {
    server: cluster.server,
    ca: decode(cluster['certificate-authority-data']),
    cert: decode(user['client-certificate-data']),
    key: decode(user['client-key-data']),
    token: user.token,
  };
}

function decode(base64: string | undefined): string | undefined {
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString();
}
