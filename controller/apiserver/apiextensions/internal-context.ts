import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { computeRequestInfo } from '../chain/request-info.ts';

const refuse = (): never => {
  throw new Error('nobody waits for an answer to what the server does itself');
};

/** The context of what the server does by itself, without a request that would be answered. */
export function createInternalContext(clock: Clock, log: Logger): RequestContext {
  return {
    request: {
      method: 'DELETE',
      path: '/',
      query: '',
      header: () => undefined,
      readBody: async () => new Uint8Array(),
      peer: { address: '', certificate: undefined, component: 'system:apiserver' },
      signal: new AbortController().signal,
    },
    response: {
      started: false,
      send: refuse,
      stream: refuse,
    },
    info: computeRequestInfo('DELETE', '/', ''),
    log,
    auditId: '',
    receivedAtMs: clock.now(),
    user: { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] },
    impersonator: undefined,
    warnings: [],
    auditAnnotations: {},
    statusCode: 0,
  };
}
