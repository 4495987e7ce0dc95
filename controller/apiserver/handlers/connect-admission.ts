import { apiVersionOf } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { isTrue } from '../chain/request-info.ts';
import { admitRequest } from '../registry/admit.ts';
import type { ApiServices, SubresourceTarget } from './api-services.ts';

type Reader = (query: URLSearchParams, name: string) => unknown;

const flag: Reader = (query, name) => (query.has(name) ? isTrue(query.get(name)) : undefined);
const text: Reader = (query, name) => query.get(name) || undefined;
const texts: Reader = (query, name) => (query.has(name) ? query.getAll(name) : undefined);
const numbers: Reader = (query, name) => (query.has(name) ? query.getAll(name).map(Number) : undefined);

/** Options of the connecting subresources, by their names; what a kind lacks does not occur in its requests. */
const OPTIONS: readonly (readonly [string, Reader])[] = [
  ['stdin', flag],
  ['stdout', flag],
  ['stderr', flag],
  ['tty', flag],
  ['container', text],
  ['command', texts],
  ['ports', numbers],
];

/** Asks admission whether a connection may be opened. Its object is what the client asks for: PodExecOptions and their kin. */
export async function admitConnection(services: ApiServices, target: SubresourceTarget): Promise<void> {
  const { context, definition, subresource, namespace, name } = target;
  await admitRequest(services.admission, {
    operation: 'CONNECT',
    resource: definition,
    subresource: subresource.name,
    namespace,
    name,
    user: context.user,
    object: connectOptions(target),
    oldObject: undefined,
    kind: subresource.kind,
    dryRun: false,
    context,
    objects: services,
  });
}

function connectOptions({ context, subresource }: SubresourceTarget): KubeObject {
  const { info } = context;
  const options: Record<string, unknown> = { apiVersion: apiVersionOf(subresource.kind), kind: subresource.kind.kind };
  for (const [name, read] of OPTIONS) {
    const value = read(info.query, name);
    if (value !== undefined) options[name] = value;
  }
  if (subresource.name === 'proxy' && info.rest !== '') options.path = info.rest;
  return options as unknown as KubeObject;
}
