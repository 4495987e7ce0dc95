import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import type { ResourceRules } from '../config/linux-resources.ts';
import { type LedgerRecord, newRecord } from '../ledger-record.ts';
import type { ObservedContainer, ObservedPod, ObservedSandbox } from '../observed-pod.ts';
import { containerHash } from '../runtime-labels.ts';

export const NOW_MS = Date.UTC(2026, 0, 1, 12);

export const container = (name: string, more: Partial<IContainer> = {}): IContainer => ({
  name,
  image: 'app:1',
  ...more,
});

export function podWith(spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: Partial<Pod['metadata']> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'web',
      namespace: 'default',
      uid: 'uid-1',
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      ...metadata,
    },
    spec: { containers: [container('app')], ...spec },
  };
}

export const sandbox = (more: Partial<ObservedSandbox> = {}): ObservedSandbox => ({
  id: 's0',
  attempt: 0,
  ready: true,
  createdAtMs: NOW_MS - 60_000,
  ips: ['10.244.0.2'],
  ...more,
});

/** An instance in sandbox `s0`, its id `<name>-<attempt>`. */
export function instance(name: string, more: Partial<ObservedContainer> = {}): ObservedContainer {
  const attempt = more.attempt ?? 0;
  return {
    id: `${name}-${attempt}`,
    name,
    sandboxId: 's0',
    attempt,
    state: 'RUNNING',
    createdAtMs: NOW_MS - 50_000,
    startedAtMs: NOW_MS - 50_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: '',
    message: '',
    image: 'app:1',
    imageRef: 'sha256:abc',
    hash: containerHash(container(name)),
    ...more,
  };
}

export const exited = (name: string, exitCode: number, more: Partial<ObservedContainer> = {}): ObservedContainer =>
  instance(name, { state: 'EXITED', exitCode, finishedAtMs: NOW_MS - 1000, ...more });

export const observed = (
  sandboxes: readonly ObservedSandbox[],
  containers: readonly ObservedContainer[],
): ObservedPod => ({
  sandboxes,
  containers,
});

export const recordOf = (pod: Pod, more: Partial<LedgerRecord> = {}): LedgerRecord => ({
  ...newRecord(pod, NOW_MS - 60_000, 'boot-1'),
  ...more,
});

/** A node of 8 GiB with cgroup v2 that enforces limits of memory. */
export const RULES: ResourceRules = {
  nodeMemoryBytes: 8 * 2 ** 30,
  cgroupVersion: 2,
  hasMemoryLimits: true,
  hugePageSizes: [],
  singleProcessOomKill: true,
};
