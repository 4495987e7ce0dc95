import type { Pod } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import type { PodIdentity } from './runtime-cache.ts';

/** A pod of which only the runtime knows, neither the API nor the ledger: just enough to end it. */
export function podFromRuntime({ uid, namespace, name }: PodIdentity): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, uid, resourceVersion: '0', creationTimestamp: toTime(0) },
    spec: { containers: [] },
  };
}
