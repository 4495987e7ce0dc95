import { Histogram, type HistogramSeries, Metric, type Series } from '#base/metric.ts';

const SIZE_BOUNDS = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072];
const LABELS = ['group', 'version', 'resource'];

/** What is counted of one kind's watches. */
export interface WatchSeries {
  readonly events: Series;
  readonly sizes: HistogramSeries;
}

/** Events that were sent to watchers. */
export class WatchMetrics {
  readonly #events = new Metric('counter', {
    name: 'apiserver_watch_events_total',
    help: 'Events sent to watchers.',
    labels: LABELS,
  });
  readonly #sizes = new Histogram(
    { name: 'apiserver_watch_events_sizes', help: 'Bytes of events sent to watchers.', labels: LABELS },
    SIZE_BOUNDS,
  );

  /** Once per watch. */
  seriesOf({ group, version, resource }: { group: string; version: string; resource: string }): WatchSeries {
    return {
      events: this.#events.with(group, version, resource),
      sizes: this.#sizes.with(group, version, resource),
    };
  }

  render(): string {
    return this.#events.render() + this.#sizes.render();
  }
}
