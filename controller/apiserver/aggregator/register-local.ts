import type { KubeClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Store } from '../../store/store.ts';
import { METRICS_GROUP } from '../node-metrics/metrics-objects.ts';
import { builtinPriority, priorityOf } from '../registry/group-priorities.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import { API_SERVICES_PREFIX, type ApiService, type ApiServiceIndex } from './api-service-index.ts';

export const API_SERVICES = {
  group: 'apiregistration.k8s.io',
  version: 'v1',
  resource: 'apiservices',
  kind: 'APIService',
  namespaced: false,
} as const;

const AUTO_LABEL = 'kube-aggregator.kubernetes.io/automanaged';
/** What this server serves from its first moment on, and what comes and goes with CustomResourceDefinitions. */
const ON_START = 'onstart';
const AUTO = 'true';

interface WantedService {
  readonly name: string;
  readonly label: string;
  readonly spec: Readonly<Record<string, string | number>>;
}

/**
 * The APIServices of what the catalog serves. The group of APIServices themselves has none, as in Kubernetes; that of the built-in metrics
 * has none either, so that a user's own server can be registered for it.
 */
function localApiServices(catalog: Pick<ResourceCatalog, 'groups'>): readonly WantedService[] {
  return catalog.groups
    .filter(({ group }) => group !== API_SERVICES.group && group !== METRICS_GROUP)
    .flatMap(({ group, versions }) =>
      versions.map(({ version }) => ({
        name: `${version}.${group}`,
        label: builtinPriority(group, version) === undefined ? AUTO : ON_START,
        // An empty group is left out, as the strategy stores it.
        spec: { ...(group === '' ? {} : { group }), version, ...priorityOf(group, version) },
      })),
    );
}

export interface RegisterLocalDeps {
  readonly store: Store;
  readonly index: Pick<ApiServiceIndex, 'revision'>;
  readonly catalog: ResourceCatalog;
  /** Acts as the API server itself. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Catalog and APIServices are looked at this often; comparing their revisions costs nothing. */
const CHECK_MS = 500;
const RETRY_MS = 5_000;

/** Keeps an APIService for every group and version that this server answers itself. The returned function stops it. */
export function startLocalRegistration(deps: RegisterLocalDeps): () => void {
  const { catalog, index, clock, log } = deps;
  let registered = '';
  let cancel: (() => void) | undefined;
  let stopped = false;
  const schedule = (delayMs: number) => {
    if (!stopped) cancel = clock.after(delayMs, () => void check());
  };
  const check = async () => {
    // Of before the look: what changes meanwhile is looked at again.
    const revision = `${catalog.revision}/${index.revision}`;
    if (revision === registered) return schedule(CHECK_MS);
    try {
      await registerAll(deps);
      registered = revision;
      schedule(CHECK_MS);
    } catch (err) {
      log.warn('registering APIServices failed, trying again', { err });
      schedule(RETRY_MS);
    }
  };
  void check();
  return () => {
    stopped = true;
    cancel?.();
  };
}

async function registerAll({ store, catalog, client }: RegisterLocalDeps): Promise<void> {
  const services = client.resource<Stored<KubeObject>>(API_SERVICES);
  const wanted = new Map(localApiServices(catalog).map((service) => [service.name, service]));
  const snapshot = store.snapshot();
  const write = async (service: WantedService): Promise<void> => {
    const found = snapshot.get(`${API_SERVICES_PREFIX}${service.name}`)?.object() as Found | undefined;
    if (found === undefined) await services.create(render(service)).catch(unless(isAlreadyExists));
    else if (isOurs(found) && !isCurrent(found, service)) {
      await services.update({ ...found, ...render(service, found) } as Stored<KubeObject>).catch(unless(isConflict));
    }
  };
  // What somebody else registered, or took over by taking our label away, is theirs.
  const leftOver = [...snapshot.range(API_SERVICES_PREFIX)]
    .map((stored) => stored.object() as ApiService)
    .filter((found) => isOurs(found) && !wanted.has(found.metadata.name));
  await Promise.all([
    ...[...wanted.values()].map(write),
    ...leftOver.map(({ metadata }) => services.delete({ name: metadata.name }).catch(unless(isNotFound))),
  ]);
}

type Found = KubeObject & ApiService;

const isOurs = ({ metadata }: ApiService): boolean => metadata.labels?.[AUTO_LABEL] !== undefined;

function isCurrent({ spec = {}, metadata }: ApiService, { spec: wanted, label }: WantedService): boolean {
  const given = spec as Readonly<Record<string, unknown>>;
  return (
    metadata.labels?.[AUTO_LABEL] === label &&
    spec.service === undefined &&
    Object.entries(wanted).every(([key, value]) => given[key] === value)
  );
}

function render({ name, label, spec }: WantedService, found?: KubeObject): KubeObject {
  return {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { ...found?.metadata, name, labels: { ...found?.metadata.labels, [AUTO_LABEL]: label } },
    spec,
  };
}

const unless = (isExpected: (err: unknown) => boolean) => (err: unknown) => {
  if (!isExpected(err)) throw err;
};
