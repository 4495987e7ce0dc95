import type { KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import type { Transport } from '#api/client/transport.ts';
import { callInMemory } from '../../server/in-memory.ts';
import type { TestServer } from '../../server/testing/test-server.ts';

/** The real client over a server in the same thread, without a socket. */
export function clientOf(api: TestServer): KubeClient {
  const transport: Transport = {
    async request({ method, path, headers, body, signal }) {
      const response = await callInMemory(api.server.handle, {
        method,
        url: path,
        ...(headers === undefined ? {} : { headers }),
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
      });
      const plain = Object.entries(response.headers).map(([name, value]) => [name, String(value)] as const);
      return { status: response.status, headers: Object.fromEntries(plain), body: response.chunks };
    },
    close() {},
  };
  return createKubeClient(transport);
}
