/** A binary heap whose items can also be found and taken out by key. */
export class Heap<K, T> {
  readonly #keyOf: (item: T) => K;
  readonly #isBefore: (a: T, b: T) => boolean;
  readonly #items: T[] = [];
  readonly #positions = new Map<K, number>();

  constructor(keyOf: (item: T) => K, isBefore: (a: T, b: T) => boolean) {
    this.#keyOf = keyOf;
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): T | undefined {
    return this.#items[0];
  }

  get(key: K): T | undefined {
    const at = this.#positions.get(key);
    return at === undefined ? undefined : this.#items[at];
  }

  /** Takes the place of an item with the same key. */
  add(item: T): void {
    const known = this.#positions.get(this.#keyOf(item));
    const at = known ?? this.#items.length;
    this.#put(at, item);
    this.#settle(at);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first !== undefined) this.remove(this.#keyOf(first));
    return first;
  }

  remove(key: K): T | undefined {
    const at = this.#positions.get(key);
    if (at === undefined) return undefined;
    const item = this.#items[at]!;
    const last = this.#items.pop()!;
    this.#positions.delete(key);
    if (at < this.#items.length) {
      this.#put(at, last);
      this.#settle(at);
    }
    return item;
  }

  #put(at: number, item: T): void {
    this.#items[at] = item;
    this.#positions.set(this.#keyOf(item), at);
  }

  #settle(start: number): void {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(this.#items[at]!, this.#items[parent]!)) break;
      this.#swap(at, parent);
      at = parent;
    }
    for (;;) {
      const left = at * 2 + 1;
      const right = left + 1;
      let first = at;
      if (left < this.#items.length && this.#isBefore(this.#items[left]!, this.#items[first]!)) first = left;
      if (right < this.#items.length && this.#isBefore(this.#items[right]!, this.#items[first]!)) first = right;
      if (first === at) return;
      this.#swap(at, first);
      at = first;
    }
  }

  #swap(a: number, b: number): void {
    const item = this.#items[a]!;
    this.#put(a, this.#items[b]!);
    this.#put(b, item);
  }
}
