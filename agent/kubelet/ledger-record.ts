import type { IResourceRequirements } from 'kubernetes-models/v1/ResourceRequirements';
import type { Pod } from '#api/object/kinds.ts';
import { namespaceOf, type PodUid, uidOf } from './pod-spec.ts';

/** Crash back-off of one container: the delay that the next restart has to keep, and when it was set. */
export interface CrashBackoff {
  readonly delayMs: number;
  readonly updatedAtMs: number;
}

export interface ContainerLedger {
  /** Last attempt that was begun; equals the restart count. */
  readonly attempt: number;
  /** The process was started at least once. Without it a lost container counts as never run. */
  readonly ran: boolean;
  readonly backoff?: CrashBackoff;
  /** CPU and memory that it was last given, once they differ from those of its admission. */
  readonly actuated?: IResourceRequirements;
}

/** How a pod ended for good. */
export interface PodOutcome {
  readonly phase: 'Succeeded' | 'Failed';
  /** Pod-level reason, e.g. `DeadlineExceeded`, `OutOfcpu`; empty when containers simply ended. */
  readonly reason: string;
  readonly message: string;
  /** A condition that tells controllers that the pod was ended from outside: `DisruptionTarget`. */
  readonly disruption?: { readonly type: string; readonly reason: string; readonly message: string };
}

export interface Termination {
  readonly cause: 'deleted' | 'finished' | 'orphaned';
  readonly startedAtMs: number;
  readonly graceSeconds: number;
}

/** By container and resource: the devices that it was given, by id, with the nodes that they had then. */
export type DeviceGrants = Readonly<
  Record<string, Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>>
>;

/** What the node remembers of one pod over crashes; format 1. Times are epoch ms. */
export interface LedgerRecord {
  readonly version: 1;
  readonly uid: PodUid;
  readonly namespace: string;
  readonly name: string;
  /** The pod as it was last accepted, without its status: what an offline boot would run. */
  readonly pod: Pod;
  readonly bootId: string;
  readonly admittedAtMs: number;
  /** Last sandbox attempt that was begun. */
  readonly sandboxAttempt: number;
  readonly containers: Readonly<Record<string, ContainerLedger>>;
  /** By container, the last attempt before all containers were last restarted together. */
  readonly restartAll?: Readonly<Record<string, number>>;
  readonly devices?: DeviceGrants;
  /** By container, the CPUs that it has alone: `2-3`. */
  readonly cpus?: Readonly<Record<string, string>>;
  /** What the node granted after a resize, by container; absent while what it was admitted with still holds. */
  readonly allocated?: Readonly<Record<string, IResourceRequirements>>;
  readonly termination?: Termination;
  readonly outcome?: PodOutcome;
  /** All containers have ended and resources were given back. */
  readonly terminatedAtMs?: number;
}

export function newRecord(pod: Pod, nowMs: number, bootId: string): LedgerRecord {
  const { status: _status, ...accepted } = pod;
  const { managedFields: _managedFields, ...metadata } = pod.metadata;
  return {
    version: 1,
    uid: uidOf(pod),
    namespace: namespaceOf(pod),
    name: pod.metadata.name,
    pod: { ...accepted, metadata },
    bootId,
    admittedAtMs: nowMs,
    sandboxAttempt: 0,
    containers: {},
  };
}

export function withContainer(record: LedgerRecord, name: string, container: ContainerLedger): LedgerRecord {
  return { ...record, containers: { ...record.containers, [name]: container } };
}
