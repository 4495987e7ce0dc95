import type { PodLimits } from './pod-limits.ts';

/** One file of a cgroup. */
export interface LimitFile {
  /** The tree that it is in under version 1. */
  readonly controller: string;
  readonly name: string;
  readonly value: string;
  /** The value that a new cgroup has anyway. */
  readonly isDefault: boolean;
}

const PERIOD_US = 100_000;

/** What is to be in which file. Pure. */
export function limitFiles(limits: PodLimits, version: 1 | 2): LimitFile[] {
  return version === 2 ? filesV2(limits) : filesV1(limits);
}

function filesV1({ cpuShares, cpuQuota, memoryBytes, pids, hugepages = [] }: PodLimits): LimitFile[] {
  return [
    file('cpu', 'cpu.shares', String(cpuShares)),
    file('cpu', 'cpu.cfs_period_us', String(PERIOD_US), cpuQuota === 0),
    limit('cpu', 'cpu.cfs_quota_us', cpuQuota, '-1'),
    ...(memoryBytes === undefined ? [] : [limit('memory', 'memory.limit_in_bytes', memoryBytes, '-1')]),
    ...(pids === undefined ? [] : [limit('pids', 'pids.max', pids, 'max')]),
    ...hugepages.map(({ pageSize, limitBytes }) =>
      file('hugetlb', `hugetlb.${pageSize}.limit_in_bytes`, String(limitBytes)),
    ),
  ];
}

function filesV2(limits: PodLimits): LimitFile[] {
  const { cpuShares, cpuQuota, memoryBytes, pids, hugepages = [], memoryMinBytes, memoryLowBytes } = limits;
  return [
    file('cpu', 'cpu.weight', String(cpuWeight(cpuShares))),
    file('cpu', 'cpu.max', cpuQuota > 0 ? `${cpuQuota} ${PERIOD_US}` : `max ${PERIOD_US}`, cpuQuota === 0),
    ...(memoryBytes === undefined ? [] : [limit('memory', 'memory.max', memoryBytes, 'max')]),
    ...(memoryMinBytes === undefined ? [] : [limit('memory', 'memory.min', memoryMinBytes, '0')]),
    ...(memoryLowBytes === undefined ? [] : [limit('memory', 'memory.low', memoryLowBytes, '0')]),
    ...(pids === undefined ? [] : [limit('pids', 'pids.max', pids, 'max')]),
    ...hugepages.map(({ pageSize, limitBytes }) => file('hugetlb', `hugetlb.${pageSize}.max`, String(limitBytes))),
  ];
}

const file = (controller: string, name: string, value: string, isDefault = false): LimitFile => ({
  ...{ controller, name, value, isDefault },
});

const limit = (controller: string, name: string, amount: number, none: string) =>
  file(controller, name, amount > 0 ? String(amount) : none, amount === 0);

/** cgroup v2's cpu.weight for cgroup v1's cpu.shares: [2, 262144] onto [1, 10000], as runc does it. */
function cpuWeight(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

/** What the kernel of version 1 shows where there is no limit: the largest number that is a multiple of a page. */
const UNLIMITED_V1 = 2 ** 62;

/** Whether a file already says what it should. The kernel cuts sizes to whole pages. */
export function saysTheSame(found: string, { value, isDefault }: LimitFile): boolean {
  const text = found.trim();
  if (text === value) return true;
  if (isDefault && value === '-1') return Number(text) >= UNLIMITED_V1;
  return /^\d+$/.test(text) && /^\d{6,}$/.test(value) && Math.abs(Number(text) - Number(value)) < PAGE_BYTES;
}

/** The largest that any of our hosts has (arm64 kernels with 64 KiB pages). */
const PAGE_BYTES = 65_536;
