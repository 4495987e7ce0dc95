import type { KubeClient } from '#api/client/client.ts';
import { isConflict, isNotFound } from '#api/object/api-error.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import { SERVICE_NAME_LABEL } from '#api/object/slices-by-service.ts';
import { type Clock, toTime } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { Metric } from '#base/metric.ts';
import type { Store } from '../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../authorize/store-mirror.ts';
import type { UserInfo } from '../chain/request-context.ts';
import { describeNetworkError } from '../webhooks/network-error.ts';
import { API_SERVICES_PREFIX, type ApiService, type ApiServiceIndex, type RemoteApi } from './api-service-index.ts';
import { API_SERVICES } from './register-local.ts';
import type { RemoteServers } from './remote-server.ts';

/** As whom the aggregator itself asks: nobody may refuse it discovery. */
export const AGGREGATOR_USER: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] };

export interface Availability {
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
}

const SERVICES = '/registry/services/specs/';
const SLICES = '/registry/endpointslices/';

/** Why the server behind `remote` cannot be there, as far as its Service and endpoints tell; undefined when it may be asked. */
function serviceProblem(
  { service: { name, namespace, port } }: RemoteApi,
  service: Service | undefined,
  slices: readonly EndpointSlice[],
): Availability | undefined {
  const down = (reason: string, message: string): Availability => ({ status: 'False', reason, message });
  const where = `service/${name} in ${JSON.stringify(namespace)}`;
  if (service === undefined) return down('ServiceNotFound', `${where} is not present`);
  if ((service.spec?.type ?? 'ClusterIP') !== 'ClusterIP') return undefined;
  const servicePort = service.spec?.ports?.find((entry) => entry.port === port);
  if (servicePort === undefined) return down('ServicePortError', `${where} is not listening on port ${port}`);
  if (slices.length === 0) return down('EndpointsNotFound', `cannot find endpointslices for ${where}`);
  const portName = servicePort.name ?? '';
  if (slices.some((slice) => isActive(slice, portName))) return undefined;
  const why = `have no addresses with port name ${JSON.stringify(portName)}`;
  return down('MissingEndpoints', `endpointslices for ${where} ${why}`);
}

const isActive = ({ endpoints, ports }: EndpointSlice, portName: string): boolean =>
  (endpoints ?? []).some(({ conditions }) => conditions?.ready !== false) &&
  (ports ?? []).some(({ name, port }) => (name ?? '') === portName && port !== undefined);

/** What the alerts of Kubernetes' monitoring mixins on aggregated APIs ask for. */
export class AvailabilityMetrics {
  readonly #unavailable = new Metric('gauge', {
    name: 'aggregator_unavailable_apiservice',
    help: '1 while the server of an APIService cannot be used.',
    labels: ['name'],
  });
  readonly #failures = new Metric('counter', {
    name: 'aggregator_unavailable_apiservice_total',
    help: 'Times that an APIService became unavailable, by reason.',
    labels: ['name', 'reason'],
  });

  observe(name: string, { status, reason }: Availability): void {
    const gauge = this.#unavailable.with(name);
    const before = gauge.value;
    gauge.value = status === 'True' ? 0 : 1;
    if (gauge.value > before) this.#failures.with(name, reason).value += 1;
  }

  /** Its APIService is gone; what was counted stays. */
  forget(name: string): void {
    this.#unavailable.with(name).value = 0;
  }

  render(): string {
    return this.#unavailable.render() + this.#failures.render();
  }
}

export interface AvailabilityDeps {
  readonly metrics: AvailabilityMetrics;
  readonly store: Store;
  readonly index: ApiServiceIndex;
  readonly servers: RemoteServers;
  /** Acts as the API server itself. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Kubernetes' resync: what no watch tells (a network that swallows packets) is noticed after this time. */
const RESYNC_MS = 30_000;
/** A server that does not answer is asked again sooner. */
const RETRY_MS = 5_000;
const SETTLE_MS = 100;
const CHECK_TIMEOUT_MS = 5_000;

export interface AvailabilityChecks {
  /** Somebody failed to reach the server of this APIService: looks again at once. */
  recheck(name: string): void;
  stop(): void;
}

/** Keeps the condition Available of all APIServices that lead to other servers. */
export function startAvailability(deps: AvailabilityDeps): AvailabilityChecks {
  const { store, index, clock, log } = deps;
  const timers = new Map<string, () => void>();
  let stopped = false;
  const schedule = (name: string, delayMs: number): void => {
    timers.get(name)?.();
    timers.delete(name);
    if (!stopped)
      timers.set(
        name,
        clock.after(delayMs, () => void sync(name)),
      );
  };
  const hurried = new Set<string>();
  const sync = async (name: string): Promise<void> => {
    timers.delete(name);
    hurried.delete(name);
    const remote = index.byName(name);
    if (remote === undefined) return deps.metrics.forget(name);
    let isFine = false;
    try {
      const availability = await checkRemote(deps, remote);
      isFine = availability.status === 'True';
      deps.metrics.observe(name, availability);
      await writeCondition(deps, name, availability);
    } catch (err) {
      if (!isConflict(err) && !isNotFound(err)) log.warn('checking an APIService failed', { apiService: name, err });
    }
    if (!timers.has(name)) schedule(name, isFine ? RESYNC_MS : RETRY_MS);
  };
  const syncThoseOn = (namespace: string, service: string): void => {
    for (const remote of index.remotes) {
      if (remote.service.namespace === namespace && remote.service.name === service) schedule(remote.name, SETTLE_MS);
    }
  };
  const checked = new Map<string, string>();
  index.listen({
    onChange(name, remote) {
      const { isAvailable: _, ...ways } = remote ?? {};
      // Our own writes of the condition come back here; they change nothing that would have to be looked at again.
      if (checked.get(name) === JSON.stringify(ways)) return;
      checked.set(name, JSON.stringify(ways));
      schedule(name, SETTLE_MS);
    },
  });
  const stopMirrors = [
    watchNames(store, SERVICES, (stored) => syncThoseOn(stored.namespace, stored.name)),
    watchSlices(store, syncThoseOn),
  ];
  for (const { name } of index.remotes) schedule(name, 0);
  return {
    recheck(name) {
      // However many fail meanwhile, one look is enough.
      if (hurried.has(name)) return;
      hurried.add(name);
      schedule(name, SETTLE_MS);
    },
    stop() {
      stopped = true;
      for (const stop of stopMirrors) stop();
      for (const cancel of timers.values()) cancel();
    },
  };
}

function watchNames(store: Store, prefix: string, onChange: (names: { namespace: string; name: string }) => void) {
  const tell = ({ key }: { readonly key: string }) => onChange(namesOfKey(key, prefix));
  return mirrorPrefix(store, prefix, { onPut: tell, onDelete: tell, onReset() {} });
}

function watchSlices(store: Store, onChange: (namespace: string, service: string) => void) {
  const tell = ({ key, labels }: { readonly key: string; readonly labels: Readonly<Record<string, string>> }) => {
    const service = labels[SERVICE_NAME_LABEL];
    if (service !== undefined) onChange(namesOfKey(key, SLICES).namespace, service);
  };
  return mirrorPrefix(store, SLICES, { onPut: tell, onDelete: tell, onReset() {} });
}

async function checkRemote({ store, servers, clock }: AvailabilityDeps, remote: RemoteApi): Promise<Availability> {
  const snapshot = store.snapshot();
  const { namespace, name, port } = remote.service;
  const service = snapshot.get(`${SERVICES}${namespace}/${name}`)?.object() as Service | undefined;
  const slices: EndpointSlice[] = [];
  for (const stored of snapshot.range(`${SLICES}${namespace}/`)) {
    if (stored.labels[SERVICE_NAME_LABEL] === name) slices.push(stored.object() as EndpointSlice);
  }
  const problem = serviceProblem(remote, service, slices);
  if (problem !== undefined) return problem;
  const path = remote.group === '' ? `/api/${remote.version}` : `/apis/${remote.group}/${remote.version}`;
  const url = `https://${service?.spec?.clusterIP ?? name}:${port}${path}`;
  const failure = await askForDiscovery(servers, clock, { remote, path, url });
  return failure === undefined
    ? { status: 'True', reason: 'Passed', message: 'all checks passed' }
    : { status: 'False', reason: 'FailedDiscoveryCheck', message: failure };
}

async function askForDiscovery(
  servers: RemoteServers,
  clock: Clock,
  { remote, path, url }: { readonly remote: RemoteApi; readonly path: string; readonly url: string },
): Promise<string | undefined> {
  const abort = new AbortController();
  const cancelTimer = clock.after(CHECK_TIMEOUT_MS, () => abort.abort());
  // Whether the certificate is right matters to those who send requests; here only whether somebody answers.
  const target = { ...remote, insecureSkipTlsVerify: true };
  try {
    const request = { method: 'GET', path, headers: {}, user: AGGREGATOR_USER, signal: abort.signal };
    const answer = await servers.fetch(target, request);
    answer.resume();
    const code = answer.statusCode ?? 0;
    if (code >= 200 && code < 300) return undefined;
    return `failing or missing response from ${url}: bad status from ${url}: ${code}`;
  } catch (err) {
    const why = abort.signal.aborted ? 'context deadline exceeded' : describeNetworkError(err);
    return `failing or missing response from ${url}: Get ${JSON.stringify(url)}: ${why}`;
  } finally {
    cancelTimer();
  }
}

async function writeCondition({ store, client, clock }: AvailabilityDeps, name: string, found: Availability) {
  const stored = store.snapshot().get(`${API_SERVICES_PREFIX}${name}`)?.object() as
    | (ApiService & KubeObject)
    | undefined;
  if (stored === undefined) return;
  const conditions = stored.status?.conditions ?? [];
  const before = conditions.find(({ type }) => type === 'Available');
  if (before?.status === found.status && before.reason === found.reason && before.message === found.message) return;
  const lastTransitionTime =
    before?.status === found.status && before.lastTransitionTime !== undefined
      ? before.lastTransitionTime
      : toTime(clock.now());
  const others = conditions.filter(({ type }) => type !== 'Available');
  const status = { ...stored.status, conditions: [...others, { type: 'Available', ...found, lastTransitionTime }] };
  await client.resource<Stored<KubeObject>>(API_SERVICES).update({ ...stored, status } as Stored<KubeObject>, 'status');
}
