import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { EtcdStore } from '#controller/store/etcd/etcd-store.ts';
import { type EtcdStoreOptions, openEtcdStore } from '#controller/store/etcd/open-etcd-store.ts';
import { classifySample } from '#controller/store/testing/sample-values.ts';
import type { EtcdCluster } from './etcd.ts';

/** A store as an API server opens it, on a cluster of the test's. */
export function openTestStore(
  cluster: Pick<EtcdCluster, 'servers' | 'caFile' | 'certFile' | 'keyFile'>,
  options: Partial<EtcdStoreOptions> = {},
): Promise<EtcdStore> {
  return openEtcdStore({
    clock: systemClock,
    log: silentLogger,
    classify: classifySample,
    random: Math.random,
    prefix: '/registry',
    servers: cluster.servers,
    caFile: cluster.caFile,
    certFile: cluster.certFile,
    keyFile: cluster.keyFile,
    ...options,
  });
}
