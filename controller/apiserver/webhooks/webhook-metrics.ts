import { Histogram, Metric } from '#base/metric.ts';

export type WebhookType = 'admit' | 'validating';

/** Why a webhook's answer, or the lack of one, turned a request down. */
export type RejectionCause = 'calling_webhook_error' | 'apiserver_internal_error' | 'no_error';

const LATENCY_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25];
const LABELS = ['name', 'type', 'operation'];

/** Counters by webhook, under the names that Kubernetes' dashboards ask for. */
export class WebhookMetrics {
  readonly #latency = new Histogram(
    {
      name: 'apiserver_admission_webhook_admission_duration_seconds',
      help: 'Time that admission webhooks took, by name, operation, API resource and type.',
      labels: [...LABELS, 'rejected'],
    },
    LATENCY_SECONDS,
  );
  readonly #requests = new Metric('counter', {
    name: 'apiserver_admission_webhook_request_total',
    help: 'Calls of admission webhooks.',
    labels: [...LABELS, 'code', 'rejected'],
  });
  readonly #rejections = new Metric('counter', {
    name: 'apiserver_admission_webhook_rejection_count',
    help: 'Requests that admission webhooks turned down.',
    labels: [...LABELS, 'error_type', 'rejection_code'],
  });
  readonly #failOpen = new Metric('counter', {
    name: 'apiserver_admission_webhook_fail_open_count',
    help: 'Failed calls that were passed over, as failurePolicy Ignore wants it.',
    labels: ['name', 'type'],
  });
  readonly #exclusions = new Metric('counter', {
    name: 'apiserver_admission_match_condition_exclusions_total',
    help: 'Requests that match conditions kept from a webhook.',
    labels: ['name', 'kind', 'type', 'operation'],
  });

  observeCall(
    labels: CallLabels,
    outcome: { readonly elapsedMs: number; readonly code: number; readonly rejected: boolean },
  ) {
    const { name, type, operation } = labels;
    const rejected = String(outcome.rejected);
    this.#latency.with(name, type, operation, rejected).observe(outcome.elapsedMs / 1000);
    this.#requests.with(name, type, operation, String(Math.min(outcome.code, 600)), rejected).value += 1;
  }

  observeRejection({ name, type, operation }: CallLabels, cause: RejectionCause, code: number): void {
    this.#rejections.with(name, type, operation, cause, String(Math.min(code, 600))).value += 1;
  }

  observeFailOpen({ name, type }: CallLabels): void {
    this.#failOpen.with(name, type).value += 1;
  }

  observeExclusion({ name, type, operation }: CallLabels): void {
    this.#exclusions.with(name, 'webhook', type, operation).value += 1;
  }

  render(): string {
    const parts = [this.#latency, this.#requests, this.#rejections, this.#failOpen, this.#exclusions];
    return parts.map((part) => part.render()).join('');
  }
}

export interface CallLabels {
  readonly name: string;
  readonly type: WebhookType;
  /** CREATE, UPDATE, DELETE or CONNECT. */
  readonly operation: string;
}
