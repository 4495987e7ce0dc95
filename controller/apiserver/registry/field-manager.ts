import { apiVersionOf } from '#api/object/group-version.ts';
import type { KubeObject, ManagedFieldsEntry } from '#api/object/kube-object.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { RegistryServices } from './registry-services.ts';
import type { ResourceDefinition } from './resource-definition.ts';

/** Kubernetes' limit for the names of field managers. */
const MAX_MANAGER_CHARS = 128;

/** The manager that a request names, or the program in its User-Agent, as Kubernetes guesses it. */
export function fieldManagerOf(context: RequestContext, named: string | undefined): string {
  if (named !== undefined && named !== '') return named;
  const agent = context.request.header('user-agent') ?? '';
  const printable = [...(agent.split('/')[0] ?? '')].filter((char) => char >= ' ' && char !== '\u007f').join('');
  return printable === '' ? 'unknown' : printable.slice(0, MAX_MANAGER_CHARS);
}

export interface ManagedWrite {
  readonly definition: ResourceDefinition;
  readonly live: KubeObject | undefined;
  readonly next: KubeObject;
  readonly manager: string;
  /** '' for the main resource. */
  readonly subresource: string;
}

/** The managedFields after a create or update that was no server-side apply. Both objects are canonical. */
export function managedFieldsAfter(services: RegistryServices, write: ManagedWrite): ManagedFieldsEntry[] {
  const { definition, live, next, manager, subresource } = write;
  return services.format.recordUpdate({
    live,
    next,
    type: services.format.typeOf(definition),
    manager,
    apiVersion: apiVersionOf(definition),
    subresource,
    nowMs: services.clock.now(),
  });
}
