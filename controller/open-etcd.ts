import type { ControllerConfig } from './config.ts';
import type { OpenedStore } from './open-store.ts';
import { openSharedSealing, type SharedSealing } from './shared-sealing.ts';
import { startResealing } from './store/etcd/etcd-reseal.ts';
import { type EtcdConnection, type EtcdConnectOptions, openEtcdStore } from './store/etcd/open-etcd-store.ts';
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

/** How the configuration says that etcd is reached. */
export function etcdAccess(
  config: ControllerConfig,
): Pick<EtcdConnectOptions, 'servers' | 'caFile' | 'certFile' | 'keyFile' | 'prefix'> {
  const { etcdServers: servers, etcdCa: caFile, etcdCert: certFile, etcdKey: keyFile, etcdPrefix: prefix } = config;
  return { servers, caFile, certFile, keyFile, prefix };
}
