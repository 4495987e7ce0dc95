import { silentLogger } from '#base/logger.ts';
import type { RequestContext, RequestInfo, UserInfo } from '../chain/request-context.ts';
import type { ApiRequest, ApiResponse, Peer } from '../server/api-request.ts';
import { toRawHeaders } from '../server/header-values.ts';

export interface FakeRequestFacts {
  /** A list is a header that was sent that often. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly peer?: Partial<Peer>;
  readonly info?: Partial<RequestInfo>;
  readonly user?: UserInfo;
  readonly signal?: AbortSignal;
}

const neverAborted = new AbortController().signal;

export function fakeRequest({ headers = {}, peer, signal = neverAborted }: FakeRequestFacts = {}): ApiRequest {
  return {
    method: 'GET',
    path: '/x',
    query: '',
    header: (name) => (headers[name] === undefined ? undefined : [headers[name]].flat().join(', ')),
    rawHeaders: toRawHeaders(headers),
    readBody: () => Promise.resolve(new Uint8Array()),
    peer: { address: '10.0.0.9', certificate: undefined, component: undefined, ...peer },
    signal,
  };
}

export const fakeInfo = (info: Partial<RequestInfo> = {}): RequestInfo => ({
  isResourceRequest: true,
  path: '/x',
  verb: 'get',
  group: '',
  version: 'v1',
  namespace: '',
  resource: 'pods',
  subresource: '',
  name: '',
  rest: '',
  query: new URLSearchParams(),
  fieldSelector: '',
  ...info,
});

/** A context whose answer has begun once `started` is set. */
export function fakeContext(facts: FakeRequestFacts = {}): RequestContext & { response: { started: boolean } } {
  const response = { started: false } as unknown as ApiResponse & { started: boolean };
  return {
    request: fakeRequest(facts),
    response,
    info: fakeInfo(facts.info),
    log: silentLogger,
    auditId: 'audit-1',
    receivedAtMs: 0,
    user: facts.user ?? { name: 'ann', groups: ['system:authenticated'] },
    impersonator: undefined,
    warnings: [],
    auditAnnotations: {},
    statusCode: 200,
  };
}
