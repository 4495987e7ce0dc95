import http2 from 'node:http2';
import type { ControllerProcess } from './controller-process.ts';
import { requestOver } from './https-contract-target.ts';

const ACCOUNTS = '/api/v1/namespaces/default/serviceaccounts';

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
}

/** Somebody with all rights who, unlike the administrator, is not exempt from priority and fairness. */
export interface TokenUser {
  /** A PATCH is a merge patch. The answer's body is read and thrown away. */
  send(method: 'GET' | 'POST' | 'PATCH', path: string, body?: object): Promise<Answer>;
  close(): void;
}

/** Makes a ServiceAccount, binds it to `cluster-admin`, and answers connections of its own with its token: a server takes so many streams of one. */
export async function tokenUser(
  { client, access }: ControllerProcess,
  name: string,
  connections = 1,
): Promise<TokenUser> {
  const post = <T>(path: string, body: object) => client.raw<T>({ method: 'POST', path, body });
  await post(ACCOUNTS, { metadata: { name } });
  await post('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
    metadata: { name: `test-${name}` },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'default', name }],
  });
  const wish = { spec: { expirationSeconds: 7200 } };
  const { status } = await post<{ status: { token: string } }>(`${ACCOUNTS}/${name}/token`, wish);
  const sessions = Array.from({ length: connections }, () => {
    const session = http2.connect(access.server, { ca: access.ca! });
    session.setMaxListeners(0);
    session.on('error', () => {});
    return session;
  });
  let sent = 0;
  const authorization = `Bearer ${status.token}`;
  return {
    async send(method, path, body) {
      const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
      const headers = { 'content-type': type, authorization };
      const call = { method, path, headers, ...(body === undefined ? {} : { body }) };
      const { status: code, headers: answered, chunks } = await requestOver(sessions[sent++ % connections]!, call);
      for await (const _ of chunks);
      return { status: code, retryAfter: answered['retry-after'] };
    },
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}
