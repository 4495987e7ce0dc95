import { closeSync, existsSync, openSync, readSync } from 'node:fs';

/** As `newRingKey` draws them, in Kubernetes' envelope. */
const ENVELOPE = /k8s:enc:aesgcm:v1:(coracle-[0-9a-f]{8}):/g;
const LONGEST_MATCH = 64;
const CHUNK_BYTES = 2 ** 20;

/**
 * Names of the keys of our own that values in these files are sealed under; what was deleted may be among them. Files that are absent hold
 * none.
 */
export function findSealingKeyNames(paths: readonly string[]): ReadonlySet<string> {
  const names = new Set<string>();
  for (const path of paths) if (existsSync(path)) findInto(names, path);
  return names;
}

function findInto(names: Set<string>, path: string): void {
  const fd = openSync(path, 'r');
  const chunk = Buffer.alloc(LONGEST_MATCH + CHUNK_BYTES);
  try {
    for (let at = 0; ; at += CHUNK_BYTES) {
      const bytes = readSync(fd, chunk, LONGEST_MATCH, CHUNK_BYTES, at);
      for (const [, name] of chunk.toString('latin1', 0, LONGEST_MATCH + bytes).matchAll(ENVELOPE)) names.add(name!);
      if (bytes < CHUNK_BYTES) return;
      // One that lies across the edge is found in the next piece.
      chunk.copy(chunk, 0, CHUNK_BYTES);
    }
  } finally {
    closeSync(fd);
  }
}
