import { DEFAULT_ELECTION_TIMES, type ElectionTimes, electionTimesProblem } from '#api/client/leader-election.ts';
import { ConfigError } from '#base/config.ts';
import type { ControllerConfig } from '../config.ts';

/** The parts of a control plane that may run in processes of their own. */
export const COMPONENTS = ['apiserver', 'scheduler', 'controller-manager', 'cloud-controller-manager'] as const;

export type Component = (typeof COMPONENTS)[number];

/** Those that work over the API, each as the user that Kubernetes knows it by; the API server needs nobody's leave. */
export type ApiComponent = Exclude<Component, 'apiserver'>;

export const COMPONENT_USERS: Readonly<Record<ApiComponent, string>> = {
  scheduler: 'system:kube-scheduler',
  'controller-manager': 'system:kube-controller-manager',
  'cloud-controller-manager': 'system:cloud-controller-manager',
};

/** Throws ConfigError for a name that is none, and for none at all. */
export function parseComponents(names: readonly string[]): ReadonlySet<Component> {
  const unknown = names.find((name) => !(COMPONENTS as readonly string[]).includes(name));
  if (unknown !== undefined) throw new ConfigError(`components: "${unknown}" is not one of ${COMPONENTS.join(', ')}`);
  if (names.length === 0) throw new ConfigError(`components: name at least one of ${COMPONENTS.join(', ')}`);
  return new Set(names as readonly Component[]);
}

/** Those of a process that work over the API, in their order. */
export const apiComponentsOf = (components: ReadonlySet<Component>): readonly ApiComponent[] =>
  COMPONENTS.filter((name): name is ApiComponent => name !== 'apiserver' && components.has(name));

/** Throws ConfigError where two could lead at once with them. */
export function parseElectionTimes({
  leaderElectLeaseSeconds,
  leaderElectRenewSeconds,
  leaderElectRetrySeconds,
}: Pick<
  ControllerConfig,
  'leaderElectLeaseSeconds' | 'leaderElectRenewSeconds' | 'leaderElectRetrySeconds'
>): ElectionTimes {
  const times: ElectionTimes = {
    leaseDurationMs: leaderElectLeaseSeconds * 1000,
    renewDeadlineMs: leaderElectRenewSeconds * 1000,
    retryPeriodMs: leaderElectRetrySeconds * 1000,
  };
  const problem = electionTimesProblem(times);
  if (problem === undefined) return times;
  const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = DEFAULT_ELECTION_TIMES;
  throw new ConfigError(
    `leaderElect…Seconds: ${problem}; the defaults are ${leaseDurationMs / 1000}, ${renewDeadlineMs / 1000} and ${retryPeriodMs / 1000}`,
  );
}
