import { Histogram, type HistogramSeries, Metric, renderSamples, type Series } from '#base/metric.ts';
import type { PriorityLevel, RefusalReason } from './priority-level.ts';

const DURATION_BOUNDS = [0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30];
const QUEUE_LENGTH_BOUNDS = [0, 10, 25, 50, 100, 250, 500, 1000];
const SEAT_BOUNDS = [1, 2, 4, 10];
const LABELS = ['priority_level', 'flow_schema'];
const PREFIX = 'apiserver_flowcontrol';

/** What is counted for one schema and its level. */
export interface FlowSeries {
  readonly dispatched: Series;
  readonly executing: Series;
  readonly seatsInUse: Series;
  readonly waiting: Series;
  readonly waitedSeconds: HistogramSeries;
  readonly refusedAfterSeconds: HistogramSeries;
  readonly executionSeconds: HistogramSeries;
  readonly watchInitSeconds: HistogramSeries;
  readonly queueLength: HistogramSeries;
  readonly seats: HistogramSeries;
  refused(reason: RefusalReason): Series;
}

/** `apiserver_flowcontrol_*`, by the names of Kubernetes. */
export class FlowMetrics {
  readonly #dispatched = new Metric('counter', {
    name: `${PREFIX}_dispatched_requests_total`,
    help: 'Requests that were executed.',
    labels: LABELS,
  });
  readonly #refused = new Metric('counter', {
    name: `${PREFIX}_rejected_requests_total`,
    help: 'Requests that were refused.',
    labels: [...LABELS, 'reason'],
  });
  readonly #executing = new Metric('gauge', {
    name: `${PREFIX}_current_executing_requests`,
    help: 'Requests that run now; watches count until their answer begins.',
    labels: LABELS,
  });
  readonly #seatsInUse = new Metric('gauge', {
    name: `${PREFIX}_current_executing_seats`,
    help: 'Seats of the requests that run now.',
    labels: LABELS,
  });
  readonly #waiting = new Metric('gauge', {
    name: `${PREFIX}_current_inqueue_requests`,
    help: 'Requests that wait in queues.',
    labels: LABELS,
  });
  readonly #waitSeconds = new Histogram(
    {
      name: `${PREFIX}_request_wait_duration_seconds`,
      help: 'How long requests waited in their queues.',
      labels: [...LABELS, 'execute'],
    },
    DURATION_BOUNDS,
  );
  readonly #executionSeconds = new Histogram(
    {
      name: `${PREFIX}_request_execution_seconds`,
      help: 'How long requests held their seats.',
      labels: [...LABELS, 'type'],
    },
    DURATION_BOUNDS,
  );
  readonly #queueLength = new Histogram(
    {
      name: `${PREFIX}_request_queue_length_after_enqueue`,
      help: 'Length of the queue that a request joined.',
      labels: LABELS,
    },
    QUEUE_LENGTH_BOUNDS,
  );
  readonly #seats = new Histogram(
    { name: `${PREFIX}_work_estimated_seats`, help: 'Seats of requests.', labels: LABELS },
    SEAT_BOUNDS,
  );
  readonly #series = new Map<string, FlowSeries>();

  seriesOf(level: string, schema: string): FlowSeries {
    const key = `${level}/${schema}`;
    let series = this.#series.get(key);
    if (series === undefined) {
      series = {
        dispatched: this.#dispatched.with(level, schema),
        executing: this.#executing.with(level, schema),
        seatsInUse: this.#seatsInUse.with(level, schema),
        waiting: this.#waiting.with(level, schema),
        waitedSeconds: this.#waitSeconds.with(level, schema, 'true'),
        refusedAfterSeconds: this.#waitSeconds.with(level, schema, 'false'),
        executionSeconds: this.#executionSeconds.with(level, schema, 'regular'),
        watchInitSeconds: this.#executionSeconds.with(level, schema, 'watch'),
        queueLength: this.#queueLength.with(level, schema),
        seats: this.#seats.with(level, schema),
        refused: (reason) => this.#refused.with(level, schema, reason),
      };
      this.#series.set(key, series);
    }
    return series;
  }

  render(levels: Iterable<PriorityLevel>): string {
    const all = [...levels];
    const gauge = (name: string, help: string, value: (level: PriorityLevel) => number) =>
      renderSamples(
        'gauge',
        { name: `${PREFIX}_${name}`, help, labels: ['priority_level'] },
        all.map((level) => [[level.name], value(level)] as const),
      );
    return [
      this.#dispatched,
      this.#refused,
      this.#executing,
      this.#seatsInUse,
      this.#waiting,
      this.#waitSeconds,
      this.#executionSeconds,
      this.#queueLength,
      this.#seats,
    ]
      .map((metric) => metric.render())
      .concat(
        gauge('nominal_limit_seats', 'Seats of the level by its share.', ({ limits }) => limits.nominal),
        gauge('lower_limit_seats', 'Seats that nobody can borrow.', ({ limits }) => limits.min),
        gauge('upper_limit_seats', 'Seats with all that may be borrowed.', ({ limits }) => limits.max),
        gauge('current_limit_seats', 'Seats of the level, borrowed ones in use included.', ({ limits, inUse }) =>
          Math.max(limits.nominal, inUse),
        ),
        gauge('demand_seats', 'Seats in use and wanted.', ({ inUse, waiting }) => inUse + waiting),
      )
      .join('');
  }
}
