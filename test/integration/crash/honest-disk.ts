import { dirname } from 'node:path';
import type { DiskEvent } from './system-call-trace.ts';

type FileEvent = Extract<DiskEvent, { kind: 'write' | 'resize' }>;
type NameEvent = Extract<DiskEvent, { kind: 'make' | 'rename' | 'remove' }>;

interface DiskFile {
  /** As of the last fsync. */
  durable: Buffer;
  /** Since then. */
  pending: FileEvent[];
}

/** Uniform in [0, 1), the same sequence for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * A disk that keeps its word and not a bit more. What an fsync of a file covered is there. Of what came later each sector (or page) holds
 * some version: the one that happened to be on its way when the power failed. Names are durable once their folder was synced; later
 * changes of names are there or not.
 */
export class HonestDisk {
  readonly #files = new Map<number, DiskFile>();
  readonly #durableNames = new Map<string, number>();
  #pendingNames: NameEvent[] = [];

  take(event: DiskEvent): void {
    switch (event.kind) {
      case 'make':
        if (!event.isFolder) this.#files.set(event.file, { durable: Buffer.alloc(0), pending: [] });
        this.#pendingNames.push(event);
        return;
      case 'rename':
      case 'remove':
        this.#pendingNames.push(event);
        return;
      case 'write':
      case 'resize':
        this.#files.get(event.file)!.pending.push(event);
        return;
      case 'sync': {
        const file = this.#files.get(event.file)!;
        file.durable = contentAfter(file, () => file.pending.length, 1);
        file.pending = [];
        return;
      }
      case 'syncFolder': {
        const isOfFolder = (one: NameEvent) => dirname('path' in one ? one.path : one.from) === event.path;
        for (const one of this.#pendingNames.filter(isOfFolder)) rename(this.#durableNames, one);
        this.#pendingNames = this.#pendingNames.filter((one) => !isOfFolder(one));
        return;
      }
      case 'line':
        return;
    }
  }

  /** Files by path, as a power cut now may leave them; `undefined` stands for a folder. */
  stateAfterCut(random: () => number): Map<string, Buffer | undefined> {
    const names = new Map(this.#durableNames);
    const keptNames = pick(random, ['none', 'all', 'first', 'some']);
    const first = Math.floor(random() * (this.#pendingNames.length + 1));
    for (const [i, one] of this.#pendingNames.entries()) {
      const isKept = { none: false, all: true, first: i < first, some: random() < 0.5 }[keptNames];
      if (isKept) rename(names, one);
    }
    const state = new Map<string, Buffer | undefined>();
    for (const [path, number] of names) {
      const file = this.#files.get(number);
      state.set(path, file && contentAfterCut(file, random));
    }
    return state;
  }

  /** As a killed process leaves them: all that was written is in the page cache. */
  stateAfterKill(): Map<string, Buffer | undefined> {
    const names = new Map(this.#durableNames);
    for (const one of this.#pendingNames) rename(names, one);
    const state = new Map<string, Buffer | undefined>();
    for (const [path, number] of names) {
      const file = this.#files.get(number);
      state.set(path, file && contentAfter(file, () => file.pending.length, 1));
    }
    return state;
  }
}

/** A change whose object is not there (its making was lost) is lost with it. */
function rename(names: Map<string, number>, event: NameEvent): void {
  if (event.kind === 'make') names.set(event.path, event.file);
  else if (event.kind === 'remove') names.delete(event.path);
  else {
    const file = names.get(event.from);
    if (file === undefined) return;
    names.delete(event.from);
    names.set(event.to, file);
  }
}

const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;

const FATES = ['none', 'all', 'first', 'sectors', 'pages', 'oneLost', 'oneKept', 'torn'] as const;

function contentAfterCut(file: DiskFile, random: () => number): Buffer {
  const { length } = file.pending;
  const someOf = () => Math.floor(random() * (length + 1));
  switch (pick(random, FATES)) {
    case 'none':
      return Buffer.from(file.durable);
    case 'all':
      return contentAfter(file, () => length, 1);
    case 'first': {
      const first = someOf();
      return contentAfter(file, () => first, 1);
    }
    case 'sectors':
      return contentAfter(file, memoized(someOf), SECTOR_BYTES);
    case 'pages':
      return contentAfter(file, memoized(someOf), PAGE_BYTES);
    case 'oneLost': {
      const unlucky = somePageOf(file, random);
      return contentAfter(file, (unit) => (unit === unlucky ? someOf() : length), PAGE_BYTES);
    }
    case 'oneKept': {
      const lucky = somePageOf(file, random);
      return contentAfter(file, (unit) => (unit === lucky ? length : 0), PAGE_BYTES);
    }
    case 'torn': {
      // Up to some write in order, and of that one the sectors before some place.
      const first = someOf();
      const last = file.pending[first - 1];
      const cut = last?.kind === 'write' ? (last.at + random() * last.bytes.length) / SECTOR_BYTES : 0;
      return contentAfter(file, (unit) => (unit < cut ? first : Math.max(0, first - 1)), SECTOR_BYTES);
    }
  }
}

/** The size stands for a unit of its own. */
const SIZE = -1;

/**
 * The content where each unit of so many bytes saw the first `versionOf(unit)` of the pending changes; the size saw `versionOf(SIZE)`.
 */
function contentAfter(file: DiskFile, versionOf: (unit: number) => number, unitBytes: number): Buffer {
  const { durable, pending } = file;
  let size = durable.length;
  let largest = size;
  for (const [i, event] of pending.entries()) {
    const after = event.kind === 'resize' ? event.size : Math.max(size, event.at + event.bytes.length);
    largest = Math.max(largest, after);
    if (i < versionOf(SIZE)) size = after;
  }
  const content = Buffer.alloc(largest);
  durable.copy(content);
  for (const [i, event] of pending.entries()) {
    // What a cut-off took away is away where the size knows of it, and nowhere else.
    if (event.kind === 'resize') {
      if (i < versionOf(SIZE)) content.fill(0, event.size);
    } else copyInUnits(content, event, (unit) => i < versionOf(unit), unitBytes);
  }
  return content.subarray(0, size);
}

function copyInUnits(
  content: Buffer,
  { at, bytes }: Extract<FileEvent, { kind: 'write' }>,
  sees: (unit: number) => boolean,
  unitBytes: number,
): void {
  if (unitBytes === 1) {
    // All units alike.
    if (sees(0)) bytes.copy(content, at);
    return;
  }
  for (let done = 0; done < bytes.length; ) {
    const unit = Math.floor((at + done) / unitBytes);
    const end = Math.min(bytes.length, (unit + 1) * unitBytes - at);
    if (sees(unit)) bytes.copy(content, at + done, done, end);
    done = end;
  }
}

function somePageOf({ pending }: DiskFile, random: () => number): number {
  const writes = pending.filter((event) => event.kind === 'write');
  const write = writes[Math.floor(random() * writes.length)];
  return write === undefined ? 0 : Math.floor((write.at + random() * write.bytes.length) / PAGE_BYTES);
}

function memoized(draw: () => number): (unit: number) => number {
  const drawn = new Map<number, number>();
  return (unit) => {
    const known = drawn.get(unit) ?? draw();
    drawn.set(unit, known);
    return known;
  };
}

function pick<T>(random: () => number, choices: readonly T[]): T {
  return choices[Math.floor(random() * choices.length)]!;
}
