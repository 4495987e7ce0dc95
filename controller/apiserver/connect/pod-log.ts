import { ApiError } from '#api/object/api-error.ts';
import { type FieldError, forbiddenField, invalid, invalidObject } from '#api/object/field-error.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { SubresourceDefinition, SubresourceServices } from '../registry/resource-definition.ts';
import { fetchFromBackend, readText } from './backend-http.ts';
import type { ConnectOptions } from './connect-options.ts';
import { copyBody } from './copy-answer.ts';
import { dialKubelet } from './kubelet-client.ts';
import { chooseContainer, findPod, kubeletError, locateKubelet } from './pod-location.ts';

const MAX_ERROR_BYTES = 64 * 1024;

/** Options that the kubelet takes under the same names. */
const PASSED_ON = [
  'follow',
  'previous',
  'timestamps',
  'tailLines',
  'limitBytes',
  'sinceSeconds',
  'sinceTime',
  'stream',
];

/** Findings on PodLogOptions, as the server words them. */
export function validateLogOptions(query: URLSearchParams): FieldError[] {
  const errors: FieldError[] = [];
  const check = (name: string, least: number, why: string) => {
    const text = query.get(name);
    if (text === null || text === '') return;
    if (!/^-?\d+$/.test(text) || Number(text) < least) errors.push(invalid(name, Number(text), why));
  };
  check('tailLines', 0, 'must be greater than or equal to 0');
  check('limitBytes', 1, 'must be greater than 0');
  check('sinceSeconds', 1, 'must be greater than 0');
  if (query.get('sinceSeconds') && query.get('sinceTime'))
    errors.push(forbiddenField('', 'at most one of `sinceTime` or `sinceSeconds` may be specified'));
  return errors;
}

export function podLog(options: ConnectOptions): SubresourceDefinition {
  return {
    name: 'log',
    verbs: ['get'],
    kind: { group: '', version: 'v1', kind: 'Pod' },
    handle: (context, services) => serveLog(options, context, services),
  };
}

async function serveLog(
  { kubeletTls }: ConnectOptions,
  context: RequestContext,
  services: SubresourceServices,
): Promise<void> {
  const { info, request, response } = context;
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new ApiError(405, 'MethodNotAllowed', `${request.method} is not supported on pods/log`);
  const pod = findPod(context, services);
  const errors = validateLogOptions(info.query);
  if (errors.length > 0) throw invalidObject({ group: '', version: 'v1', kind: 'PodLogOptions' }, info.name, errors);
  const container = chooseContainer(pod, info.query.get('container') ?? '');
  // A pod without a node has written nothing yet: Kubernetes answers with nothing rather than an error.
  if (!pod.spec?.nodeName) {
    response.send(200, { 'content-type': 'text/plain' }, new Uint8Array());
    return;
  }
  const location = locateKubelet(pod, services);
  const connection = await dialKubelet(services.dialer, location, kubeletTls(), request.signal);
  const answer = await fetchFromBackend(
    connection,
    {
      method: 'GET',
      path: kubeletLogPath(info.namespace, info.name, container, info.query),
      headers: { host: location.name },
    },
    request.signal,
  );
  const statusCode = answer.statusCode ?? 502;
  if (statusCode !== 200) {
    const message = (await readText(answer, MAX_ERROR_BYTES)).trim();
    throw kubeletError(statusCode, message);
  }
  await copyBody(answer, response.stream(200, { 'content-type': 'text/plain' }));
}

function kubeletLogPath(namespace: string, pod: string, container: string, query: URLSearchParams): string {
  const passed = new URLSearchParams();
  for (const name of PASSED_ON) {
    const value = query.get(name);
    if (value !== null) passed.set(name, value);
  }
  const path = [namespace, pod, container].map(encodeURIComponent).join('/');
  return `/containerLogs/${path}?${passed}`;
}
