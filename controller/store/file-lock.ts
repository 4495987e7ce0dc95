import { DatabaseSync } from 'node:sqlite';

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
    throw new Error(`another process uses ${what} (${path})`, { cause: err });
  }
  return lock;
}
