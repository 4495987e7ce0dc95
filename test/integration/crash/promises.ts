/** What the workload wanted and was told, up to a point of the trace: what a store must be able to answer for afterwards. */
export class Promises {
  /** Newest revision that anybody saw. */
  shownRevision = 0;
  readonly #wanted = new Map<string, { readonly op: number; readonly type: 'put' | 'delete' }[]>();
  readonly #keyOfOp = new Map<number, string>();
  /** By key: the newest acknowledged operation. */
  readonly #acknowledged = new Map<string, number>();

  /** A line of the workload's output. */
  take(line: string): void {
    const [what, first, second, key] = line.split(' ');
    if (what === 'want') {
      this.#keyOfOp.set(Number(first), key!);
      this.#wanted.set(key!, [
        ...(this.#wanted.get(key!) ?? []),
        { op: Number(first), type: second as 'put' | 'delete' },
      ]);
    } else if (what === 'done') {
      this.#acknowledged.set(this.#keyOfOp.get(Number(first))!, Number(first));
      this.shownRevision = Math.max(this.shownRevision, Number(second));
    } else if (what === 'shown') this.shownRevision = Math.max(this.shownRevision, Number(first));
  }

  /** What is wrong with a store that holds these operations by key; undefined: nothing. */
  breach(held: ReadonlyMap<string, number>): string | undefined {
    for (const [key, wanted] of this.#wanted) {
      const acknowledged = this.#acknowledged.get(key) ?? 0;
      const allowed = wanted.filter(({ op }) => op >= acknowledged);
      const op = held.get(key);
      const isAllowed =
        op === undefined
          ? acknowledged === 0 || allowed.some(({ type }) => type === 'delete')
          : allowed.some((one) => one.type === 'put' && one.op === op);
      if (!isAllowed) return `${key}: operation ${acknowledged} was acknowledged, ${op ?? 'nothing'} is there`;
    }
    for (const key of held.keys()) if (!this.#wanted.has(key)) return `${key} is there, which nobody wrote`;
    return undefined;
  }
}
