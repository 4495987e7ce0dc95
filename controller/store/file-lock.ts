import { existsSync, readFileSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describeError } from '#base/errors.ts';

const SQLITE_BUSY = 5;

/**
 * Keeps a second process out, also one that was started by mistake, until it is closed; a kill -9 frees it. It is a file of its own,
 * because an exclusive lock on a database would shut out our own second handle (backup). Nobody may open it with `fs`: closing any
 * descriptor of a file drops the process's POSIX locks on it. Throws when it is taken.
 */
export function takeFileLock(path: string, what: string): { close(): void } {
  const lock = new DatabaseSync(path);
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (err) {
    lock.close();
    if ((err as { errcode?: number }).errcode !== SQLITE_BUSY)
      throw new Error(`${path} cannot be locked: ${describeError(err)}`, { cause: err });
    const holder = processHolding(path);
    const who = holder === undefined ? '' : `: it is process ${holder}`;
    throw new Error(`another process uses ${what} (${path})${who}; stop it first, or set another --data-dir`);
  }
  return lock;
}

/** Process that has locked the file; opening it to ask would be a change, so the kernel's list is read. Undefined: none. */
export function processHolding(path: string): number | undefined {
  if (!existsSync(path)) return undefined;
  const inode = statSync(path).ino;
  const line = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .find((text) => text.includes(` WRITE `) && text.includes(`:${inode} `));
  const pid = line?.trim().split(/\s+/)[4];
  return pid === undefined ? undefined : Number(pid);
}
