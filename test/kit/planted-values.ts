import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';

/** A value that exists nowhere else. */
export const plantValue = (): string => `plant-${randomBytes(12).toString('hex')}`;

/** As it is, base64 at its three offsets, percent-encoded and as JSON writes it. */
function spellings(value: string): readonly string[] {
  const shifted = [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(value)]).toString('base64');
    // The first and last characters hold bits of the neighbours.
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
  const urlSafe = shifted.map((text) => text.replaceAll('+', '-').replaceAll('/', '_'));
  const percent = [encodeURIComponent(value), ...shifted.map(encodeURIComponent)];
  return [...new Set([value, ...percent, JSON.stringify(value).slice(1, -1), ...shifted, ...urlSafe])];
}

export type FindPlanted = (bytes: Buffer | string) => readonly string[];

/** Answers the names of the values that are in there, in whatever spelling. */
export function searchFor(planted: Readonly<Record<string, string>>): FindPlanted {
  const wanted = Object.entries(planted).map(([name, value]) => [name, spellings(value)] as const);
  return (bytes) => {
    const buffer = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
    return wanted.filter(([, texts]) => texts.some((text) => buffer.includes(text))).map(([name]) => name);
  };
}

/** A place and what was found there. */
export type Finding = readonly [place: string, names: readonly string[]];

const TMPFS = 0x0102_1994;

/** Files below that are on a disk: what is in memory alone ends with the host. */
export function filesOnDisk(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isFile()) return [path];
    if (!entry.isDirectory()) return [];
    return statfsSync(path).type === TMPFS && statfsSync(folder).type !== TMPFS ? [] : filesOnDisk(path);
  });
}

/** Of these files, those in which something is. One that goes meanwhile has nothing. */
export function searchFiles(paths: readonly string[], find: FindPlanted): readonly Finding[] {
  return paths.flatMap((path) => {
    try {
      const names = find(readFileSync(path));
      return names.length === 0 ? [] : [[path, names] as const];
    } catch (err) {
      if (['ENOENT', 'ESRCH', 'EACCES'].includes((err as NodeJS.ErrnoException).code ?? '')) return [];
      throw err;
    }
  });
}

/** `/proc/<pid>/<file>` of all processes but this one. */
export const procFiles = (file: 'cmdline' | 'environ', isMeant: (pid: number) => boolean = () => true): string[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && isMeant(Number(name)))
    .map((pid) => `/proc/${pid}/${file}`);
