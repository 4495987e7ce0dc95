import type { ServiceDefinition } from '@grpc/grpc-js';
import { readDescriptor } from '#api/codec/described-messages.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import descriptor from '../../protos/dra-v1.json' with { type: 'json' };
import type { DraDriver, DraDrivers, DriverClaim, HealthReport, PreparedDevice } from '../kubelet/claims/dra-driver.ts';
import { followHealth } from './dra-health.ts';
import { connectPlugin, type PluginConnection } from './plugin-client.ts';
import type { PluginKind } from './plugin-watcher.ts';

/** Drivers set up hardware within a call; Kubernetes gives them this long. */
const CALL_MS = 45_000;
const PACKAGE = 'k8s.io.kubelet.pkg.apis.dra';
/** The newest that a driver offers is spoken. */
const VERSIONS = ['v1', 'v1beta1'] as const;
const SERVICE = 'DRAPlugin';

const v1 = readDescriptor(descriptor).service(`${PACKAGE}.v1.${SERVICE}`);

/** The versions differ by name alone. */
function serviceOf(version: string): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(v1).map(([name, method]) => [
      name,
      { ...method, path: method.path.replace('.v1.', `.${version}.`) },
    ]),
  );
}

interface WireDevice {
  readonly request_names: readonly string[];
  readonly pool_name: string;
  readonly device_name: string;
  readonly cdi_device_ids: readonly string[];
  readonly share_id?: string;
}

type WireAnswers<T> = { readonly claims: Readonly<Record<string, T>> };

interface Registered {
  readonly endpoint: string;
  readonly connection: PluginConnection;
  readonly stopHealth: () => void;
}

/** Registered drivers of dynamic resource allocation, in the type that plug-ins call `DRAPlugin`. */
export function createDraDrivers({
  log,
  clock,
}: {
  readonly log: Logger;
  readonly clock: Clock;
}): DraDrivers & PluginKind {
  const drivers = new Map<string, { readonly driver: DraDriver } & Registered>();
  const listeners: ((driver: string, isThere: boolean) => void)[] = [];
  const healthListeners: ((driver: string, reports: readonly HealthReport[] | undefined) => void)[] = [];
  const onReports = (driver: string) => (reports: readonly HealthReport[] | undefined) => {
    for (const listener of healthListeners) listener(driver, reports);
  };
  const tell = (name: string, isThere: boolean) => {
    for (const listener of listeners) listener(name, isThere);
  };
  return {
    find: (name) => drivers.get(name)?.driver,
    names: () => [...drivers.keys()],
    onChange: (listener) => void listeners.push(listener),
    onHealth: (listener) => void healthListeners.push(listener),

    async register({ name, endpoint, versions }) {
      const version = VERSIONS.find((one) => versions.includes(`${one}.${SERVICE}`));
      if (version === undefined)
        throw new Error(
          `invalid supported gRPC versions of DRA driver plugin ${name} at endpoint ${endpoint}: ` +
            `none of ${JSON.stringify(versions)} is one of ${VERSIONS.map((one) => `${one}.${SERVICE}`).join(', ')}`,
        );
      // While a driver is updated its new plug-in comes before the old one goes: the newest is asked.
      const before = drivers.get(name);
      before?.connection.close();
      before?.stopHealth();
      const connection = connectPlugin(endpoint, serviceOf(version), CALL_MS);
      const stopHealth = followHealth({ driver: name, endpoint, clock, log, onReports: onReports(name) });
      drivers.set(name, { driver: driverOf(name, connection), connection, endpoint, stopHealth });
      log.info('a driver of dynamic resources has registered', { driver: name, version });
      tell(name, true);
    },

    unregister(name) {
      const known = drivers.get(name);
      if (known === undefined) return;
      drivers.delete(name);
      known.connection.close();
      known.stopHealth();
      log.info('a driver of dynamic resources has gone', { driver: name });
      tell(name, false);
    },
  };
}

function driverOf(name: string, connection: PluginConnection): DraDriver {
  const ask = async <T>(method: string, claims: readonly DriverClaim[]) => {
    const answer = await connection.call<WireAnswers<T>>(method, { claims });
    return Object.entries(answer.claims);
  };
  return {
    name,
    async prepare(claims) {
      type Answer = { readonly devices: readonly WireDevice[]; readonly error: string };
      const answers = await ask<Answer>('NodePrepareResources', claims);
      return new Map(answers.map(([uid, { devices, error }]) => [uid, { devices: devices.map(deviceFrom), error }]));
    },
    async unprepare(claims) {
      return new Map(await ask<{ readonly error: string }>('NodeUnprepareResources', claims));
    },
  };
}

const deviceFrom = (wire: WireDevice): PreparedDevice => ({
  requestNames: wire.request_names,
  pool: wire.pool_name,
  device: wire.device_name,
  cdiIds: wire.cdi_device_ids,
  ...(wire.share_id ? { shareId: wire.share_id } : {}),
});
