import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import {
  MANDATORY_LEVELS,
  MANDATORY_SCHEMAS,
  SUGGESTED_FLOW_SCHEMAS,
  SUGGESTED_PRIORITY_LEVELS,
} from './bootstrap-configuration.ts';
import type { FlowSchemaSpec } from './configuration.ts';

const GROUP = { group: 'flowcontrol.apiserver.k8s.io', version: 'v1', namespaced: false } as const;
const LEVELS: ResourceInfo = { ...GROUP, resource: 'prioritylevelconfigurations', kind: 'PriorityLevelConfiguration' };
const SCHEMAS: ResourceInfo = { ...GROUP, resource: 'flowschemas', kind: 'FlowSchema' };

/** `true`: the spec is ours and follows our values. `false`: an administrator's. */
export const AUTOUPDATE = 'apf.kubernetes.io/autoupdate-spec';

type Configuration = Stored<{
  apiVersion?: string;
  kind?: string;
  spec?: unknown;
  status?: { conditions?: readonly Condition[] };
}>;

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionTime?: string;
}

interface Wanted {
  readonly name: string;
  readonly spec: unknown;
  readonly isMandatory: boolean;
}

/** What has to become of an object that exists, or undefined when it may stay. Pure. */
export function configurationUpdate(existing: Configuration, wanted: Wanted): Configuration | undefined {
  const mark = existing.metadata.annotations?.[AUTOUPDATE];
  // Without the mark: an object that nobody has changed since its creation is taken for ours.
  const isOurs = wanted.isMandatory || mark === 'true' || (mark !== 'false' && existing.metadata.generation === 1);
  const wantedMark = isOurs ? 'true' : 'false';
  // Validation lets nothing of the mandatory ones differ but the shares of `exempt`, which are the administrator's.
  const keepsSpec = !isOurs || wanted.name === 'exempt';
  if (mark === wantedMark && (keepsSpec || deepEqual(existing.spec, wanted.spec))) return undefined;
  return {
    ...existing,
    metadata: {
      ...existing.metadata,
      annotations: { ...existing.metadata.annotations, [AUTOUPDATE]: wantedMark },
    },
    spec: keepsSpec ? existing.spec : wanted.spec,
  };
}

/** The condition that tells whether a schema's level exists. Pure; undefined when it is there already. */
export function danglingCondition(existing: Configuration, levels: ReadonlySet<string>, nowMs: number) {
  const name = (existing.spec as FlowSchemaSpec | undefined)?.priorityLevelConfiguration.name ?? '';
  const isFound = levels.has(name);
  const reference = `This FlowSchema references the PriorityLevelConfiguration object named ${JSON.stringify(name)}`;
  const wanted = {
    type: 'Dangling',
    status: isFound ? 'False' : 'True',
    reason: isFound ? 'Found' : 'NotFound',
    message: isFound ? `${reference} and it exists` : `${reference} but there is no such object`,
  };
  const known = existing.status?.conditions?.find(({ type }) => type === 'Dangling');
  const isSame =
    known !== undefined &&
    known.status === wanted.status &&
    known.reason === wanted.reason &&
    known.message === wanted.message;
  if (isSame) return undefined;
  const keepsTime = known?.status === wanted.status && known.lastTransitionTime !== undefined;
  return { ...wanted, lastTransitionTime: keepsTime ? known.lastTransitionTime : toTime(nowMs) };
}

const wantedOf = (specs: Readonly<Record<string, unknown>>, isMandatory: boolean): Wanted[] =>
  Object.entries(specs).map(([name, spec]) => ({ name, spec, isMandatory }));

export interface EnsureFlowConfigurationOptions {
  /** Acts as `system:apiserver`. */
  readonly client: KubeClient;
  readonly nowMs: () => number;
  readonly signal?: AbortSignal;
}

/** Creates and mends the bootstrap objects, levels before the schemas that name them, and tells schemas whether their level exists. */
export async function ensureFlowConfiguration(options: EnsureFlowConfigurationOptions): Promise<void> {
  const { client, signal, nowMs } = options;
  const levels = client.resource<Configuration>(LEVELS);
  const schemas = client.resource<Configuration>(SCHEMAS);
  await ensureAll(levels, [...wantedOf(MANDATORY_LEVELS, true), ...wantedOf(SUGGESTED_PRIORITY_LEVELS, false)], signal);
  await ensureAll(schemas, [...wantedOf(MANDATORY_SCHEMAS, true), ...wantedOf(SUGGESTED_FLOW_SCHEMAS, false)], signal);
  const names = new Set((await fetchAll(levels, signal)).map(({ metadata }) => metadata.name));
  const updates = (await fetchAll(schemas, signal)).flatMap((schema) => {
    const condition = danglingCondition(schema, names, nowMs());
    if (condition === undefined) return [];
    const others = (schema.status?.conditions ?? []).filter(({ type }) => type !== 'Dangling');
    return unlessLost(schemas.update({ ...schema, status: { conditions: [...others, condition] } }, 'status', signal));
  });
  await Promise.all(updates);
}

type Api = ResourceClient<Configuration>;

const fetchAll = async (api: Api, signal: AbortSignal | undefined): Promise<readonly Configuration[]> =>
  (await api.fetchList(signal === undefined ? {} : { signal })).items;

async function ensureAll(api: Api, wanted: readonly Wanted[], signal: AbortSignal | undefined): Promise<void> {
  const existing = new Map((await fetchAll(api, signal)).map((object) => [object.metadata.name, object]));
  const writes = wanted.map((one) => {
    const found = existing.get(one.name);
    if (found === undefined) {
      const metadata = { name: one.name, annotations: { [AUTOUPDATE]: 'true' } };
      return unlessLost(api.create({ metadata, spec: one.spec }, signal));
    }
    const update = configurationUpdate(found, one);
    return update === undefined ? undefined : unlessLost(api.update(update, undefined, signal));
  });
  await Promise.all(writes);
}

/** Somebody who was faster has written the same, or means something else: the next pass sees. */
async function unlessLost(write: Promise<unknown>): Promise<void> {
  try {
    await write;
  } catch (err) {
    if (!isAlreadyExists(err) && !isConflict(err) && !isNotFound(err)) throw err;
  }
}
