import { readFileSync } from 'node:fs';
import { waitUntil } from '#test/kit/wait-until.ts';

/** Linux counts in hundredths of a second whatever the kernel's own tick is. */
const MS_PER_TICK = 10;

/** User and system time of all threads of a process, without what its children used; ms. */
export function cpuMsOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The program's name may hold anything, so fields are counted from its closing bracket.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

const CALM_MS = 1_000;
const CALM_SHARE = 0.05;

/** Until what went before is worked off: within a second the processes together use less than a twentieth of a core. */
export async function waitUntilCalm(pids: readonly number[]): Promise<void> {
  const total = () => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0);
  let before = total();
  let sinceMs = performance.now();
  await waitUntil('the processes to be calm', 60_000, () => {
    const elapsedMs = performance.now() - sinceMs;
    if (elapsedMs < CALM_MS) return false;
    const now = total();
    const isCalm = (now - before) / elapsedMs < CALM_SHARE;
    before = now;
    sinceMs = performance.now();
    return isCalm;
  });
}

/** Runs `work` while the processes stand still, so that they take nothing from it. */
export async function whileStopped<T>(pids: readonly number[], work: () => Promise<T>): Promise<T> {
  for (const pid of pids) process.kill(pid, 'SIGSTOP');
  try {
    return await work();
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT');
  }
}
