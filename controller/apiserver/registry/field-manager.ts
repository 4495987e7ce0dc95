import { apiVersionOf } from '#api/object/group-version.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject, ManagedFieldsEntry } from '#api/object/kube-object.ts';
import { recordUpdate, withManagedFields } from '#api/patch/managed-fields.ts';
import { parseServiceAccountUserName } from '../authenticate/service-account-user.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { RegistryServices } from './registry-services.ts';
import type { ResourceDefinition } from './resource-definition.ts';

/** Kubernetes' limit for the names of field managers. */
const MAX_MANAGER_CHARS = 128;

/**
 * Under which name Kubernetes' own program of this task manages fields: components of this process send no User-Agent. Controllers act as
 * ServiceAccounts, each its own, and are one program.
 */
function programOf(component: string): string {
  if (parseServiceAccountUserName(component) !== undefined) return 'kube-controller-manager';
  return component === 'system:apiserver' ? 'kube-apiserver' : component.replace(/^system:/, '');
}

/** The manager that a request names, or the program in its User-Agent, as Kubernetes guesses it. */
export function fieldManagerOf(context: RequestContext, named: string | undefined): string {
  if (named !== undefined && named !== '') return named;
  const { peer } = context.request;
  if (peer.component !== undefined) return programOf(peer.component);
  const agent = context.request.header('user-agent');
  if (agent === undefined) return 'unknown';
  const printable = [...(agent.split('/', 1)[0] ?? '')].filter((char) => char >= ' ' && char !== '\u007f').join('');
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

/**
 * `next` with its managedFields after a create or update that was no server-side apply. Both objects are canonical, and so is the answer;
 * `next` carries the client's wish: nothing keeps the entries as they are, `[{}]` forgets them, others replace them.
 */
export function withRecordedUpdate(services: RegistryServices, write: ManagedWrite): KubeObject {
  return withManagedFields(write.next, recordEntries(services, write));
}

/** The entries alone. Of a new object `next` may still lack what canonical objects always have. */
export function recordEntries(services: RegistryServices, write: ManagedWrite): ManagedFieldsEntry[] | undefined {
  const { definition, live, next, manager, subresource } = write;
  const wished = next.metadata.managedFields;
  return recordUpdate({
    live,
    next:
      wished === undefined || wished === live?.metadata.managedFields || wished.every(isUsable)
        ? next
        : withManagedFields(next, undefined),
    type: services.format.typeOf(definition),
    manager,
    apiVersion: apiVersionOf(definition),
    subresource,
    nowMs: services.clock.now(),
  });
}

/** Entries come from clients too; what is no field set would break every later write of the object. */
function isUsable({ operation, fieldsType, fieldsV1 }: ManagedFieldsEntry): boolean {
  if (operation === undefined && fieldsType === undefined && fieldsV1 === undefined) return true;
  return (operation === 'Apply' || operation === 'Update') && fieldsType === 'FieldsV1' && isFieldSet(fieldsV1);
}

function isFieldSet(value: unknown): boolean {
  return isJsonObject(value) && Object.values(value).every(isFieldSet);
}
