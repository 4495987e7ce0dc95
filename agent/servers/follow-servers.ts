import type { Host } from '#agent/host/host.ts';
import type { KubeClient } from '#api/client/client.ts';
import { createInformer } from '#api/client/shared-informer.ts';
import { type EndpointSlice, resources } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ServerList, serversOfSlices } from './server-list.ts';

export interface FollowServersOptions {
  readonly servers: ServerList;
  /** May watch EndpointSlices. */
  readonly client: KubeClient;
  readonly host: Pick<Host, 'fs'>;
  /** Where the addresses are kept for the next start. */
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** The list of an earlier run, so that a node finds the cluster also when the server that it once joined at is gone. */
export async function openServerList(
  host: Pick<Host, 'fs'>,
  path: string,
  options: { readonly configured: readonly string[]; readonly random: () => number },
): Promise<ServerList> {
  return new ServerList({ ...options, learned: await readLearned(host, path) });
}

async function readLearned({ fs }: Pick<Host, 'fs'>, path: string): Promise<readonly string[]> {
  if ((await fs.info(path)) === undefined) return [];
  try {
    const parsed: unknown = JSON.parse(await fs.readText(path));
    return Array.isArray(parsed) ? parsed.filter((one): one is string => typeof one === 'string') : [];
  } catch (err) {
    // Cut off by a power cut: the cluster tells again.
    if (err instanceof SyntaxError) return [];
    throw err;
  }
}

/** Keeps the list as the endpoints of the Service `kubernetes` are, until aborted. */
export function followServers(options: FollowServersOptions, signal: AbortSignal): void {
  const { servers, client, host, path, clock, log } = options;
  const slices = createInformer<EndpointSlice>({
    resource: client.resource<EndpointSlice>(resources.endpointSlices),
    namespace: 'default',
    labelSelector: 'kubernetes.io/service-name=kubernetes',
    clock,
    log,
  });
  const update = () => {
    const now = serversOfSlices(slices.list());
    if (!servers.learn(now)) return;
    log.info('API servers of the cluster', { servers: now });
    host.fs.writeAtomic(path, JSON.stringify(now), { mode: 0o644, durable: false }).catch((err: unknown) => {
      log.warn('the addresses of the API servers could not be kept', { path, err: describeError(err) });
    });
  };
  slices.addHandler({ onAdd: update, onUpdate: update, onDelete: update });
  slices.start(signal);
}
