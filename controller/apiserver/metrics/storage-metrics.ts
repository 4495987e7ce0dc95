import type { Clock } from '#base/clock.ts';
import { Histogram, type HistogramSeries, Metric, renderSamples, type Series } from '#base/metric.ts';
import type { Store } from '../../store/store.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';

/** Kubernetes' bounds for `etcd_request_duration_seconds`, from its fast end. */
const BOUNDS = [0.001, 0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 10, 30, 60];

interface WriteSeries {
  readonly seconds: HistogramSeries;
  readonly failures: Series;
}

/**
 * Latency of the store's durable writes, under the names that dashboards show for etcd. Reads come from memory and are not worth a
 * clock. The kind is told by its place in the store.
 */
export class StorageMetrics {
  readonly #clock: Clock;
  readonly #seconds = new Histogram(
    {
      name: 'etcd_request_duration_seconds',
      help: 'Time until a write of the store was durable.',
      labels: ['operation', 'type'],
    },
    BOUNDS,
  );
  readonly #total = new Metric('counter', {
    name: 'etcd_requests_total',
    help: 'Writes of the store.',
    labels: ['operation', 'type'],
  });
  readonly #failures = new Metric('counter', {
    name: 'etcd_request_errors_total',
    help: 'Writes of the store that were refused or failed.',
    labels: ['operation', 'type'],
  });
  readonly #series = new Map<string, WriteSeries>();
  readonly #commits = new Histogram(
    {
      name: 'coracle_store_commit_duration_seconds',
      help: 'Time that the disk took for a commit of any number of writes.',
    },
    BOUNDS,
  );
  readonly #commitSeries = this.#commits.with();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  commitTook(seconds: number): void {
    this.#commitSeries.observe(seconds);
  }

  /** The same store, whose writes are measured. */
  measure(store: Store): Store {
    // Beside the write: it is not to wait for its measurement.
    const write: Store['write'] = (key, decide, options) => {
      const series = this.#seriesOf(key);
      const fromMs = this.#clock.monotonic();
      const written = store.write(key, decide, options);
      written.then(
        () => series.seconds.observe((this.#clock.monotonic() - fromMs) / 1000),
        () => series.failures.value++,
      );
      return written;
    };
    return {
      shared: store.shared,
      get revision() {
        return store.revision;
      },
      get compactedRevision() {
        return store.compactedRevision;
      },
      snapshot: () => store.snapshot(),
      snapshotAt: (revision) => store.snapshotAt(revision),
      waitFor: (revision, timeoutMs) => store.waitFor(revision, timeoutMs),
      write,
      watch: (options) => store.watch(options),
      close: () => store.close(),
    };
  }

  #seriesOf(key: string): WriteSeries {
    const from = key.indexOf('/', 1) + 1;
    const type = key.slice(from, key.indexOf('/', from));
    let series = this.#series.get(type);
    if (series === undefined) {
      series = { seconds: this.#seconds.with('update', type), failures: this.#failures.with('update', type) };
      this.#series.set(type, series);
    }
    return series;
  }

  render(): string {
    for (const [type, { seconds, failures }] of this.#series) {
      this.#total.with('update', type).value = seconds.count + failures.value;
    }
    return this.#seconds.render() + this.#total.render() + this.#failures.render() + this.#commits.render();
  }
}

/** How many objects of each kind there are; counted when asked. */
export function renderObjectCounts(store: Store, definitions: readonly ResourceDefinition[]): string {
  const snapshot = store.snapshot();
  const seen = new Set<string>();
  const counted = definitions.flatMap(({ group, resource, storagePrefix, virtualCreate }) => {
    if (virtualCreate !== undefined || seen.has(storagePrefix)) return [];
    seen.add(storagePrefix);
    return [{ group, resource, count: snapshot.count(`${storagePrefix}/`) }];
  });
  return (
    renderSamples(
      'gauge',
      { name: 'apiserver_storage_objects', help: 'Objects by resource.', labels: ['resource'] },
      counted.map(({ group, resource, count }) => [[group === '' ? resource : `${resource}.${group}`], count]),
    ) +
    renderSamples(
      'gauge',
      { name: 'apiserver_resource_objects', help: 'Objects by resource.', labels: ['group', 'resource'] },
      counted.map(({ group, resource, count }) => [[group, resource], count]),
    )
  );
}

/** Size of the store on disk. */
export function renderStorageSize(sizeBytes: number): string {
  return renderSamples(
    'gauge',
    { name: 'apiserver_storage_size_bytes', help: 'Size of the store on disk.', labels: ['storage_cluster_id'] },
    [[['coracle-0'], sizeBytes]],
  );
}
