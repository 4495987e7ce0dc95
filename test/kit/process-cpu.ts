import { readdirSync, readFileSync } from 'node:fs';

/** Microseconds of CPU by kind of thread: unlike a rate, they say the same on a machine that others use as well. */
export function cpuOfThreads(pid: number): Map<string, number> {
  const used = new Map<string, number>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const folder = `/proc/${pid}/task/${thread}`;
    const name = thread === String(pid) ? 'front' : readFileSync(`${folder}/comm`, 'utf8').trim();
    const [nanoseconds] = readFileSync(`${folder}/schedstat`, 'utf8').split(' ');
    used.set(name, (used.get(name) ?? 0) + Number(nanoseconds) / 1000);
  }
  return used;
}

/** Microseconds of all its threads. */
export function cpuOfProcess(pid: number): number {
  let sum = 0;
  for (const us of cpuOfThreads(pid).values()) sum += us;
  return sum;
}
