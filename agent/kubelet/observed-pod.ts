import type { ContainerState, ContainerStatus } from '../cri/runtime.ts';

/** One instance of a container as the runtime last reported it. Times are epoch ms; 0 = not yet. */
export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly attempt: number;
  readonly state: ContainerState;
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly image: string;
  readonly imageRef: string;
  /** The annotation that was written at creation; empty for containers of others. */
  readonly hash: string;
  readonly user?: ContainerStatus['user'];
  readonly stopSignal?: string;
}

export interface ObservedSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  /** Primary address first; empty for the host's network. */
  readonly ips: readonly string[];
}

/** Everything the runtime holds of one pod; both lists newest first. */
export interface ObservedPod {
  readonly sandboxes: readonly ObservedSandbox[];
  readonly containers: readonly ObservedContainer[];
}

export const NOTHING_OBSERVED: ObservedPod = { sandboxes: [], containers: [] };

/** The newest instance of a container, of whatever sandbox. */
export function newestInstance(observed: ObservedPod, name: string): ObservedContainer | undefined {
  return observed.containers.find((container) => container.name === name);
}

export function instancesOf(observed: ObservedPod, name: string): ObservedContainer[] {
  return observed.containers.filter((container) => container.name === name);
}

/** The sandbox that containers belong into: the newest, when it is ready. */
export function liveSandbox(observed: ObservedPod): ObservedSandbox | undefined {
  const newest = observed.sandboxes[0];
  return newest?.ready ? newest : undefined;
}

export const isAlive = (container: ObservedContainer): boolean =>
  container.state === 'RUNNING' || container.state === 'UNKNOWN';

/** Newest first by attempt; creation time decides between instances whose numbering was lost. */
export function newestFirst<T extends { readonly attempt: number; readonly createdAtMs: number }>(
  items: readonly T[],
): T[] {
  return [...items].sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
}
