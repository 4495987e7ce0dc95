import { hostname } from 'node:os';
import { ConfigError } from '#base/config.ts';
import type { ControllerConfig } from './config.ts';
import type { OpenedStore } from './open-store.ts';
import { sealingKeysPath } from './sealing-config.ts';
import { openSharedSealing, type SharedSealing } from './shared-sealing.ts';
import { refuseEmptyEtcd } from './state-backend.ts';
import { describeEtcdFailure } from './store/etcd/etcd-error.ts';
import { startResealing } from './store/etcd/etcd-reseal.ts';
import {
  connectEtcd,
  type EtcdConnection,
  type EtcdConnectOptions,
  openEtcdStore,
} from './store/etcd/open-etcd-store.ts';
import type { RingKey } from './store/seal/key-ring.ts';
import type { SealingPlan } from './store/seal/sealing-plan.ts';
import type { StoreOptions } from './store/store-core.ts';

/** The store over etcd, with the keys that its API servers share. Throws ConfigError where the cluster cannot be used. */
export async function openOnEtcd(
  config: ControllerConfig,
  common: StoreOptions,
  plan: SealingPlan,
): Promise<OpenedStore> {
  const { clock, log } = common;
  let sealing: (SharedSealing & EtcdConnection) | undefined;
  let stopResealing = (): void => {};
  const store = await openEtcdStore({
    ...common,
    ...etcdAccess(config),
    random: Math.random,
    sealer: async (connection) => {
      const { dataDir, etcdPrefix } = config;
      if (await isEmpty(connection)) await refuseEmptyEtcd(dataDir, etcdPrefix);
      const opened = await openSharedSealing(connection, { dataDir, prefix: etcdPrefix, plan, clock, log });
      sealing = { ...opened, ...connection };
      return opened.sealer;
    },
    onClose: () => {
      stopResealing();
      sealing?.ring.stop();
    },
  });
  stopResealing = startResealing({ ...sealing!, store, clock, log, random: Math.random });
  return {
    store,
    rotateSealingKey: () => sealing!.ring.rotate(),
    size: () => store.size(),
    checks: [
      // To start this process anew would not bring etcd back.
      { name: 'etcd', endpoints: ['livez', 'readyz'], check: () => undefined },
      { name: 'etcd-readiness', endpoints: ['readyz'], check: () => store.connectionProblem() },
      { name: 'coracle-etcd', endpoints: ['readyz'], check: () => store.contentProblem(), isAdvisory: true },
    ],
  };
}

async function isEmpty({ client, keys }: EtcdConnection): Promise<boolean> {
  const { count } = await client.range({ key: keys.first, range_end: keys.end, count_only: true });
  return Number(count) === 0;
}

/**
 * The keys of sealed values as etcd has them, the one that seals first: the copy in the data directory is as old as the last controller that
 * ran here. Throws ConfigError.
 */
export async function readSharedKeys(
  config: ControllerConfig,
  { clock, log }: Pick<StoreOptions, 'clock' | 'log'>,
): Promise<readonly RingKey[]> {
  const { dataDir, etcdPrefix: prefix } = config;
  const connection = await connectEtcd({ ...etcdAccess(config), clock, log, random: Math.random });
  try {
    const plan: SealingPlan = { ringPath: sealingKeysPath(dataDir), rules: [], configurationName: undefined };
    const { ring, copied } = await openSharedSealing(connection, { dataDir, prefix, plan, clock, log });
    ring.stop();
    await copied();
    return ring.keys;
  } catch (err) {
    throw err instanceof ConfigError ? err : new ConfigError(`etcd: ${describeEtcdFailure(err)}`);
  } finally {
    connection.client.close();
  }
}

/** Keeps other controllers from going on with a state that was moved to SQLite here. Throws ConfigError. */
export async function markMovedAway(
  config: ControllerConfig,
  { clock, log }: Pick<StoreOptions, 'clock' | 'log'>,
): Promise<void> {
  const { client, keys } = await connectEtcd({ ...etcdAccess(config), clock, log, random: Math.random });
  try {
    const words = `to SQLite on ${hostname()}, ${new Date(clock.now()).toISOString()}`;
    const put = { request_put: { key: keys.movedAway, value: Buffer.from(words) } };
    await client.txn({ compare: [], success: [put], failure: [] });
  } catch (err) {
    throw new ConfigError(`etcd: ${describeEtcdFailure(err)}`);
  } finally {
    client.close();
  }
}

/** How the configuration says that etcd is reached. */
export function etcdAccess(
  config: ControllerConfig,
): Pick<EtcdConnectOptions, 'servers' | 'caFile' | 'certFile' | 'keyFile' | 'prefix'> {
  const { etcdServers: servers, etcdCa: caFile, etcdCert: certFile, etcdKey: keyFile, etcdPrefix: prefix } = config;
  return { servers, caFile, certFile, keyFile, prefix };
}
