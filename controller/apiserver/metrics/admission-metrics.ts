import type { Clock } from '#base/clock.ts';
import { Histogram, type HistogramSeries } from '#base/metric.ts';
import type { AdmissionPlugin, AdmissionRequest } from '../admission/admission-plugin.ts';

/** Kubernetes' bounds. */
const BOUNDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5];

type Step = 'admit' | 'validate';

/** How long the plug-ins of admission take, by plug-in and operation. */
export class AdmissionMetrics {
  readonly #clock: Clock;
  readonly #seconds = new Histogram(
    {
      name: 'apiserver_admission_controller_admission_duration_seconds',
      help: 'Time that an admission plug-in took.',
      labels: ['name', 'operation', 'rejected', 'type'],
    },
    BOUNDS,
  );

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The same plug-ins in the same order, measured. */
  measure(plugins: readonly AdmissionPlugin[]): readonly AdmissionPlugin[] {
    return plugins.map((plugin) => ({
      name: plugin.name,
      ...(plugin.isAsynchronous === undefined ? {} : { isAsynchronous: plugin.isAsynchronous }),
      handles: (request) => plugin.handles(request),
      ...(plugin.admit === undefined ? {} : { admit: this.#measured(plugin, 'admit') }),
      ...(plugin.validate === undefined ? {} : { validate: this.#measured(plugin, 'validate') }),
    }));
  }

  #measured(plugin: AdmissionPlugin, step: Step) {
    const accepted = new Map<string, HistogramSeries>();
    const seriesOf = (operation: string, rejected: boolean): HistogramSeries => {
      const known = rejected ? undefined : accepted.get(operation);
      if (known !== undefined) return known;
      const series = this.#seconds.with(plugin.name, operation, String(rejected), step);
      if (!rejected) accepted.set(operation, series);
      return series;
    };
    return (request: AdmissionRequest): void | Promise<void> => {
      const fromMs = this.#clock.monotonic();
      const note = (rejected: boolean) =>
        seriesOf(request.operation, rejected).observe((this.#clock.monotonic() - fromMs) / 1000);
      let result: void | Promise<void>;
      try {
        result = plugin[step]?.(request);
      } catch (err) {
        note(true);
        throw err;
      }
      if (!(result instanceof Promise)) {
        note(false);
        return;
      }
      return result.then(
        () => note(false),
        (err) => {
          note(true);
          throw err;
        },
      );
    };
  }

  render(): string {
    return this.#seconds.render();
  }
}
