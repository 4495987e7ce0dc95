import type { CrashBackoff, PodOutcome } from './ledger-record.ts';
import type { ContainerRole } from './pod-spec.ts';

/** What can be done to a pod, each with what it needs; the executor table is typed from this. */
export interface PodActionArgs {
  readonly killContainer: {
    readonly containerId: string;
    readonly name: string;
    readonly message: string;
    readonly graceSeconds: number;
  };
  readonly stopSandbox: { readonly sandboxId: string };
  readonly createSandbox: { readonly attempt: number };
  readonly startContainer: {
    readonly name: string;
    readonly role: ContainerRole;
    readonly attempt: number;
    /** To be kept in the ledger: what the restart after this one has to wait. */
    readonly backoff: CrashBackoff | undefined;
  };
  /** CPU and memory of a running container, without a restart. */
  readonly resizeContainer: { readonly containerId: string; readonly name: string };
  readonly removeContainer: { readonly containerId: string; readonly name: string; readonly attempt: number };
  readonly removeSandbox: { readonly sandboxId: string };
}

export type PodActionKind = keyof PodActionArgs;
export type PodAction<K extends PodActionKind = PodActionKind> = {
  [Kind in K]: { readonly kind: Kind } & PodActionArgs[Kind];
}[K];

export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

export interface PodActions {
  /** In order: kills (side by side), sandbox stops, the new sandbox, resizes, starts (one after the other), clean-up. */
  readonly actions: readonly PodAction[];
  /** Why containers are not running that should; shown in the status. */
  readonly waiting: ReadonlyMap<string, WaitingReason>;
  /** Epoch ms at which to compute again although nothing changed. */
  readonly wakeAtMs: number | undefined;
  /** The pod has ended for good: terminate what is left of it. */
  readonly outcome: PodOutcome | undefined;
}
