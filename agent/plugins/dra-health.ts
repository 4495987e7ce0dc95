import { status } from '@grpc/grpc-js';
import { readDescriptor } from '#api/codec/described-messages.ts';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import descriptor from '../../protos/dra-health-v1alpha1.json' with { type: 'json' };
import type { HealthReport } from '../kubelet/claims/dra-driver.ts';
import { followPlugin } from './plugin-client.ts';

export interface DraHealthOptions {
  readonly driver: string;
  /** The socket that the driver is asked at. */
  readonly endpoint: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** What it says of all its devices; undefined: nothing any more. */
  readonly onReports: (reports: readonly HealthReport[] | undefined) => void;
}

interface WireHealth {
  readonly device: { readonly pool_name: string; readonly device_name: string } | null;
  readonly health: string | number;
  readonly health_check_timeout_seconds: number;
  readonly message: string;
}

/** Kubernetes' pause before a driver that broke off is asked again. */
const RETRY_MS = 5_000;
const HEALTH: Readonly<Record<string, HealthReport['health']>> = { HEALTHY: 'Healthy', UNHEALTHY: 'Unhealthy' };

const { NodeWatchResources: watch } = readDescriptor(descriptor).service('v1alpha1.DRAResourceHealth');

/** Listens to what a driver says of its devices until the answer is called. Most drivers say nothing: they are asked once. */
export function followHealth(options: DraHealthOptions): () => void {
  const { driver, endpoint, clock, log, onReports } = options;
  let isStopped = false;
  let stop = () => {};
  const follow = () => {
    stop = followPlugin<{ readonly devices: readonly WireHealth[] }>(endpoint, watch, {
      onData: ({ devices }) => onReports(devices.map(reportFrom)),
      onEnd(err) {
        if (isStopped) return;
        onReports(undefined);
        if (err?.code === status.UNIMPLEMENTED) return;
        if (err !== undefined) log.debug('a driver tells no more of its devices', { driver, err: err.details });
        stop = clock.after(RETRY_MS, follow);
      },
    });
  };
  follow();
  return () => {
    isStopped = true;
    stop();
    onReports(undefined);
  };
}

const reportFrom = (wire: WireHealth): HealthReport => ({
  pool: wire.device?.pool_name ?? '',
  device: wire.device?.device_name ?? '',
  health: HEALTH[wire.health] ?? 'Unknown',
  message: wire.message,
  timeoutMs: wire.health_check_timeout_seconds * 1000,
});
