import type { Lease } from '#api/object/kinds.ts';
import type { Store } from '../store/store.ts';
import { BackupError } from './backup-error.ts';

/** API servers renew every 5 s; see apiserver/identity. */
const SILENT_MS = 30_000;

/** Throws where another machine's API server works on this store: what it writes from now on would be left behind. */
export function refuseLiveApiServers(store: Pick<Store, 'snapshot'>, nowMs: number): void {
  for (const lease of store.snapshot().range('/registry/leases/kube-system/apiserver-')) {
    const { spec, metadata } = lease.object() as Lease;
    const renewedMs = Date.parse(String(spec?.renewTime ?? ''));
    if (nowMs - renewedMs < SILENT_MS) {
      throw new BackupError(
        `an API server works on this etcd still (Lease ${metadata.name}, held by ${spec?.holderIdentity}): stop all controllers, ` +
          'wait half a minute and try again',
      );
    }
  }
}
