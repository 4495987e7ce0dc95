import type { Clock } from '#base/clock.ts';
import { Histogram, Metric } from '#base/metric.ts';
import type { SyncResult } from '../proxier.ts';

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16];

/** kube-proxy's names for what ours does too. */
export class ProxyMetrics {
  readonly #clock: Clock;
  readonly #all = new Histogram(
    { name: 'kubeproxy_sync_proxy_rules_duration_seconds', help: 'SyncProxyRules latency in seconds.' },
    SECONDS,
  );
  readonly #full = new Histogram(
    { name: 'kubeproxy_sync_full_proxy_rules_duration_seconds', help: 'SyncProxyRules latency of full resyncs.' },
    SECONDS,
  );
  readonly #partial = new Histogram(
    { name: 'kubeproxy_sync_partial_proxy_rules_duration_seconds', help: 'SyncProxyRules latency of partial syncs.' },
    SECONDS,
  );
  readonly #changes = new Metric('counter', {
    name: 'kubeproxy_sync_proxy_rules_service_changes_total',
    help: 'Service ports whose rules changed.',
  });
  readonly #last = new Metric('gauge', {
    name: 'kubeproxy_sync_proxy_rules_last_timestamp_seconds',
    help: 'The last time that rules were successfully synced.',
  });
  readonly #lost = new Metric('counter', {
    name: 'coracle_proxy_rules_lost_total',
    help: 'How often somebody else removed our rules.',
  });

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#lost.with();
  }

  onSynced({ full, elapsedMs, changes }: SyncResult): void {
    this.#all.with().observe(elapsedMs / 1000);
    (full ? this.#full : this.#partial).with().observe(elapsedMs / 1000);
    this.#changes.with().value += changes.length;
    this.#last.with().value = this.#clock.now() / 1000;
  }

  onRulesLost(): void {
    this.#lost.with().value += 1;
  }

  render(): string {
    return [this.#all, this.#full, this.#partial, this.#changes, this.#last, this.#lost]
      .map((metric) => metric.render())
      .join('');
  }
}
