import { createResourceServer } from '../../resources/testing/resource-server.ts';
import { callInMemory, type InMemoryRequest } from '../../server/in-memory.ts';
import type { ContractTarget } from './contract-target.ts';

/** Events that the store keeps whatever happens. */
const KEPT_EVENTS = 200;

/** All built-in kinds over a memory store and a clock that stands still, in this thread. */
export function createInMemoryTarget(): ContractTarget {
  let draws = 0;
  let isFixed = false;
  const api = createResourceServer(
    {},
    {
      historyLimits: { minEvents: KEPT_EVENTS, softBytes: 0 },
      random: () => (isFixed ? 0 : (++draws * 0.618_033_988_7) % 1),
    },
  );
  const call: ContractTarget['call'] = async ({ method, path, headers = {}, body }) => {
    const type: Record<string, string> = typeof body === 'string' ? { 'content-type': 'application/json' } : {};
    const request: InMemoryRequest = { method, url: path, headers: { ...type, ...headers } };
    const response = await callInMemory(api.server.handle, body === undefined ? request : { ...request, body });
    const plain = Object.entries(response.headers).map(
      ([name, value]) => [name.toLowerCase(), [value].flat().join(', ')] as const,
    );
    return {
      status: response.status,
      headers: Object.fromEntries(plain),
      chunks: response.chunks,
      cancel: () => response.cancel(),
    };
  };
  return {
    call,
    elapse: (ms) => api.clock.advance(ms),
    async compact() {
      const path = '/api/v1/namespaces/compact/configmaps/x';
      await callInMemory(api.server.handle, {
        method: 'POST',
        url: '/api/v1/namespaces/compact/configmaps',
        body: { metadata: { name: 'x' } },
      });
      for (let i = 0; i <= KEPT_EVENTS; i++) {
        const body = { metadata: { name: 'x' }, data: { i: String(api.store.revision) } };
        await callInMemory(api.server.handle, { method: 'PUT', url: path, body });
      }
    },
    async withoutChance(fn) {
      isFixed = true;
      await fn();
      isFixed = false;
    },
    async close() {
      api.server.stop();
    },
  };
}
