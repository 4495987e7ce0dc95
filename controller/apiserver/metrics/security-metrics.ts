import { Histogram, Metric } from '#base/metric.ts';
import type { AuthorizerDecision, RequestContext, UserInfo } from '../chain/request-context.ts';

/** Seconds; Kubernetes' powers of two from a millisecond. */
const DURATION_BOUNDS = Array.from({ length: 15 }, (_, i) => 0.001 * 2 ** i);

const HOUR = 3600;
const DAY = 24 * HOUR;
/** Seconds that a certificate has left: Kubernetes' own bounds, from which its alerts compute quantiles. */
const EXPIRATION_BOUNDS = [
  0,
  HOUR / 2,
  ...[1, 2, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 4, 7, 30, 90, 180, 360].map((days) => days * DAY),
];

/** Users whose names tell no secret and are no matter of how many there are. */
const KNOWN_USERS: ReadonlySet<string> = new Set([
  'admin',
  'client',
  'kube_proxy',
  'kubelet',
  'system:serviceaccount:kube-system:default',
]);

/** Outcomes of authentication and authorization by Kubernetes' names. Every series is at hand: counting is an addition. */
export class SecurityMetrics {
  readonly #users = new Metric('counter', {
    name: 'authenticated_user_requests',
    help: 'Authenticated requests by user, those apart that are not known to everybody.',
    labels: ['username'],
  });
  readonly #attempts = new Metric('counter', {
    name: 'authentication_attempts',
    help: 'Requests by the result of their authentication.',
    labels: ['result'],
  });
  readonly #durations = new Histogram(
    { name: 'authentication_duration_seconds', help: 'Time that authentication took.', labels: ['result'] },
    DURATION_BOUNDS,
  );
  readonly #expirations = new Histogram(
    {
      name: 'apiserver_client_certificate_expiration_seconds',
      help: 'Time that client certificates had left when requests came with them.',
    },
    EXPIRATION_BOUNDS,
  );
  readonly #decisions = new Metric('counter', {
    name: 'authorization_attempts_total',
    help: 'Requests by the result of their authorization.',
    labels: ['result'],
  });
  readonly #other = this.#users.with('other');
  readonly #email = this.#users.with('email_id');
  readonly #success = { count: this.#attempts.with('success'), seconds: this.#durations.with('success') };
  readonly #failure = { count: this.#attempts.with('failure'), seconds: this.#durations.with('failure') };
  readonly #expiration = this.#expirations.with();
  readonly #byDecision = {
    allow: this.#decisions.with('allowed'),
    deny: this.#decisions.with('denied'),
    noOpinion: this.#decisions.with('no-opinion'),
  };

  authenticated({ user, request, receivedAtMs }: RequestContext, elapsedMs: number): void {
    this.#success.count.value++;
    this.#success.seconds.observe(elapsedMs / 1000);
    this.#seriesOf(user).value++;
    const expiresAtMs = request.peer.certificate?.expiresAtMs;
    if (expiresAtMs !== undefined) this.#expiration.observe((expiresAtMs - receivedAtMs) / 1000);
  }

  notAuthenticated(elapsedMs: number): void {
    this.#failure.count.value++;
    this.#failure.seconds.observe(elapsedMs / 1000);
  }

  decided(decision: AuthorizerDecision['decision']): void {
    this.#byDecision[decision].value++;
  }

  #seriesOf({ name }: UserInfo) {
    if (KNOWN_USERS.has(name)) return this.#users.with(name);
    return name.includes('@') ? this.#email : this.#other;
  }

  render(): string {
    return [this.#users, this.#attempts, this.#durations, this.#expirations, this.#decisions]
      .map((metric) => metric.render())
      .join('');
  }
}
