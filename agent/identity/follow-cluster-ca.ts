import type { KubeClient } from '#api/client/client.ts';
import { type ConfigMap, resources } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { NodeIdentity } from './node-identity.ts';

export interface FollowCaOptions {
  readonly identity: Pick<NodeIdentity, 'caPem' | 'trust'>;
  /** Acts as the network part, which may read this one ConfigMap. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Other CAs are trusted: connections and servers want to know. */
  readonly onChanged: () => void;
}

const NAME = 'extension-apiserver-authentication';
const RETRY = { initialMs: 5_000, maxMs: 300_000, jitter: 0.5 };
/** One watch lasts so long. */
const WATCH_SECONDS = 300;

/** Trusts what the cluster says is its CA, for as long as that is told by a server that is trusted already. Until aborted. */
export async function followClusterCa(options: FollowCaOptions): Promise<void> {
  const { clock, log, signal } = options;
  for (let failures = 0; !signal.aborted; ) {
    try {
      await watchOnce(options);
      failures = 0;
    } catch (err) {
      if (signal.aborted) return;
      failures++;
      log.debug('the CA of the cluster cannot be followed, trying again', { err: describeError(err) });
    }
    if (failures > 0) await delay(clock, backoffDelayMs(failures, RETRY), signal).catch(() => undefined);
  }
}

async function watchOnce({ client, identity, signal, onChanged }: FollowCaOptions): Promise<void> {
  const configMaps = client.resource<ConfigMap>(resources.configMaps);
  const scope = { namespace: 'kube-system', fieldSelector: `metadata.name=${NAME}` };
  const take = async (configMap: ConfigMap | undefined): Promise<void> => {
    const bundle = configMap?.data?.['client-ca-file'] ?? '';
    if (bundle === '' || bundle === identity.caPem) return;
    await identity.trust(bundle);
    onChanged();
  };
  const { items, resourceVersion } = await configMaps.fetchList({ ...scope, signal });
  await take(items[0]);
  for await (const { type, object } of configMaps.watch({
    ...scope,
    resourceVersion,
    timeoutSeconds: WATCH_SECONDS,
    signal,
  })) {
    if (type === 'ADDED' || type === 'MODIFIED') await take(object);
  }
}
