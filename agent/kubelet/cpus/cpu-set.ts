/** CPUs by their numbers, sorted. */
export type CpuSet = readonly number[];

/** As the kernel writes them: `0-3,8`. */
export function parseCpuSet(text: string): CpuSet {
  const cpus = new Set<number>();
  for (const part of text.trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (match === null) continue;
    const first = Number(match[1]);
    for (let cpu = first; cpu <= Number(match[2] ?? first); cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}

export function formatCpuSet(cpus: CpuSet): string {
  const sorted = [...new Set(cpus)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    parts.push(end === i ? `${sorted[i]}` : `${sorted[i]}-${sorted[end]}`);
    i = end + 1;
  }
  return parts.join(',');
}

export const without = (cpus: CpuSet, taken: Iterable<number>): CpuSet => {
  const gone = new Set(taken);
  return cpus.filter((cpu) => !gone.has(cpu));
};
