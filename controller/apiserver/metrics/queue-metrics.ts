import type { WorkQueueHooks } from '#api/client/work-queue.ts';
import { Histogram, Metric } from '#base/metric.ts';

/** Kubernetes' bounds for work queues: a hundred-millionth of a second and up; those below a microsecond say nothing here. */
const BOUNDS = [1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10];
const LABELS = ['name'];

/** `workqueue_*` of the controllers. */
export class QueueMetrics implements WorkQueueHooks {
  readonly #depth = new Metric('gauge', { name: 'workqueue_depth', help: 'Keys that wait.', labels: LABELS });
  readonly #adds = new Metric('counter', {
    name: 'workqueue_adds_total',
    help: 'Keys that were added.',
    labels: LABELS,
  });
  readonly #retries = new Metric('counter', {
    name: 'workqueue_retries_total',
    help: 'Passes that failed and are tried again.',
    labels: LABELS,
  });
  readonly #waits = new Histogram(
    { name: 'workqueue_queue_duration_seconds', help: 'How long keys waited.', labels: LABELS },
    BOUNDS,
  );
  readonly #work = new Histogram(
    { name: 'workqueue_work_duration_seconds', help: 'How long passes took.', labels: LABELS },
    BOUNDS,
  );

  onAdd(queue: string, depth: number): void {
    this.#adds.with(queue).value++;
    this.#depth.with(queue).value = depth;
  }

  onStart(queue: string, depth: number, waitedMs: number): void {
    this.#depth.with(queue).value = depth;
    this.#waits.with(queue).observe(waitedMs / 1000);
  }

  onDone(queue: string, elapsedMs: number, hasFailed: boolean): void {
    this.#work.with(queue).observe(elapsedMs / 1000);
    if (hasFailed) this.#retries.with(queue).value++;
  }

  render(): string {
    return [this.#depth, this.#adds, this.#retries, this.#waits, this.#work].map((metric) => metric.render()).join('');
  }
}
