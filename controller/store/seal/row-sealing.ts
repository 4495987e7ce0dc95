import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { isSealed } from './envelope.ts';
import { KeyRing } from './key-ring.ts';
import type { SealingPlan } from './sealing-plan.ts';
import { PlannedSealer } from './value-sealer.ts';

/** Rows looked at, and rows written anew, in one step; steps are a second apart. */
const LOOK_ROWS = 500;
const RESEAL_ROWS = 50;
/** Enough of a value to hold the name of its key. */
const HEAD_BYTES = 300;

interface Table {
  /** Parameters: where to go on after, how many. Answers cursor, key and the head of the value. */
  readonly heads: StatementSync;
  /** Parameter: cursor. */
  readonly value: StatementSync;
  /** Parameters: value, cursor. */
  readonly replace: StatementSync;
}

interface HeadRow {
  readonly cursor: string | number;
  readonly key: string;
  readonly head: Uint8Array;
}

/** What is sealed of the SQLite file: new values as they are written, and old ones, little by little, once the plan or the key is another. */
export class RowSealing {
  readonly #db: DatabaseSync;
  readonly #plan: SealingPlan;
  readonly #ring: KeyRing;
  readonly #sealer: PlannedSealer;
  readonly #tables: readonly Table[];
  /** Where the pass over all rows stands; undefined: none is under way. */
  #pass: { table: number; after: string | number } | undefined;
  /** Name of the newest key when the last pass began; without a ring of ours there is none. */
  #keyOfPass: string | undefined;
  #hasBegun = false;

  constructor(db: DatabaseSync, plan: SealingPlan, sync?: (fd: number) => void) {
    this.#db = db;
    this.#plan = plan;
    this.#ring = new KeyRing({ path: plan.ringPath, ...(sync === undefined ? {} : { sync }) });
    this.#sealer = new PlannedSealer(plan, this.#ring);
    this.#tables = prepareTables(db);
  }

  seal(key: string, plain: Uint8Array): Uint8Array {
    return this.#sealer.seal(key, plain);
  }

  /** Once the values on disk are known to open: makes the first key where there is none, and begins to look for rows sealed otherwise. */
  begin(): void {
    const needsRing = this.#plan.rules.some(({ providers }) => providers[0]?.kind === 'ring');
    if (needsRing && this.#ring.isEmpty) this.#ring.rotate();
    this.#startPass();
  }

  rotate(): void {
    this.#ring.rotate();
  }

  /** True while `step` has something to do. */
  get isDue(): boolean {
    if (this.#pass === undefined && this.#hasBegun && this.#keyOfPass !== this.#ring.newest?.name) this.#startPass();
    return this.#pass !== undefined;
  }

  /** One bounded piece of the pass, in a transaction where something is stale; true where it wrote. */
  step(): boolean {
    if (this.#pass === undefined) return false;
    const { table: at, after } = this.#pass;
    const table = this.#tables[at];
    if (table === undefined) {
      this.#pass = undefined;
      return false;
    }
    const rows = table.heads.all(after, LOOK_ROWS) as unknown as HeadRow[];
    const stale = rows.filter(({ key, head }) => !this.#sealer.isCurrent(key, head)).slice(0, RESEAL_ROWS);
    try {
      if (stale.length > 0) this.#reseal(table, stale);
    } catch (err) {
      // Not tried again before the next start or the next key.
      this.#pass = undefined;
      throw err;
    }
    const last = stale.length === RESEAL_ROWS ? stale.at(-1) : rows.at(-1);
    const isTableDone = stale.length < RESEAL_ROWS && rows.length < LOOK_ROWS;
    this.#pass = isTableDone || last === undefined ? { table: at + 1, after: '' } : { table: at, after: last.cursor };
    return stale.length > 0;
  }

  /** Gives unused reservations back. */
  close(): void {
    this.#ring.close();
  }

  #startPass(): void {
    this.#hasBegun = true;
    this.#keyOfPass = this.#ring.newest?.name;
    this.#pass = { table: 0, after: '' };
  }

  #reseal(table: Table, rows: readonly HeadRow[]): void {
    // What was open must not stay readable in pages that SQLite frees.
    const wipe = rows.some(({ head }) => !isSealed(head));
    if (wipe) this.#db.exec('PRAGMA secure_delete = ON');
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      for (const { cursor, key } of rows) {
        const { value } = table.value.get(cursor) as unknown as { value: Uint8Array };
        table.replace.run(this.#sealer.seal(key, this.#sealer.open(key, value)), cursor);
      }
      this.#db.exec('COMMIT');
    } finally {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      if (wipe) this.#db.exec('PRAGMA secure_delete = OFF');
    }
  }
}

/** Values keep their revision: nobody but the disk sees that they were sealed anew. */
function prepareTables(db: DatabaseSync): readonly Table[] {
  const head = (column: string) => `substr(${column}, 1, ${HEAD_BYTES}) AS head`;
  return [
    {
      heads: db.prepare(`SELECT key AS cursor, key, ${head('value')} FROM objects WHERE key > ? ORDER BY key LIMIT ?`),
      value: db.prepare('SELECT value FROM objects WHERE key = ?'),
      replace: db.prepare('UPDATE objects SET value = ? WHERE key = ?'),
    },
    {
      heads: db.prepare(
        `SELECT revision AS cursor, key, ${head('previous')} FROM history
         WHERE revision > CAST(? AS INTEGER) AND previous IS NOT NULL ORDER BY revision LIMIT ?`,
      ),
      value: db.prepare('SELECT previous AS value FROM history WHERE revision = ?'),
      replace: db.prepare('UPDATE history SET previous = ? WHERE revision = ?'),
    },
  ];
}
