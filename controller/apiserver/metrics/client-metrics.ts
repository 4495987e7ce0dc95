import type { Transport } from '#api/client/transport.ts';
import type { Clock } from '#base/clock.ts';
import { Histogram, Metric } from '#base/metric.ts';

/** Kubernetes' bounds for `rest_client_request_duration_seconds`. */
const BOUNDS = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];
/** All of them speak to the server of their own process. */
const HOST = 'in-process';

/** `rest_client_*` of the components of this process. */
export class ClientMetrics {
  readonly #clock: Clock;
  readonly #requests = new Metric('counter', {
    name: 'rest_client_requests_total',
    help: 'Requests of components by status code, method and host.',
    labels: ['code', 'method', 'host'],
  });
  readonly #seconds = new Histogram(
    {
      name: 'rest_client_request_duration_seconds',
      help: 'Time until the answer began.',
      labels: ['verb', 'host'],
    },
    BOUNDS,
  );

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The same transport, whose requests are counted. */
  measure(transport: Transport): Transport {
    return {
      request: async (request) => {
        const fromMs = this.#clock.monotonic();
        const { method } = request;
        try {
          const response = await transport.request(request);
          this.#requests.with(String(response.status), method, HOST).value++;
          return response;
        } catch (err) {
          this.#requests.with('<error>', method, HOST).value++;
          throw err;
        } finally {
          this.#seconds.with(method, HOST).observe((this.#clock.monotonic() - fromMs) / 1000);
        }
      },
      close: () => transport.close(),
    };
  }

  render(): string {
    return this.#requests.render() + this.#seconds.render();
  }
}
