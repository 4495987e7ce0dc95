/**
 * The newest pending write of each key.
 *
 * A Map alone would keep finished writes alive, with the whole request behind each: V8 gives a Map whose entries come and go a new table again
 * and again, and each old table points to the next one. Once one of them has grown old, all that follow survive every collection but
 * a full one, with the entries that they held when they were left. So the Map holds slots, and a slot lets go of its write.
 */
export class PendingHeads<Write extends object> {
  readonly #slots = new Map<string, { write: Write | undefined }>();

  get(key: string): Write | undefined {
    return this.#slots.get(key)?.write;
  }

  set(key: string, write: Write): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) this.#slots.set(key, { write });
    else slot.write = write;
  }

  /** Does nothing where a later write has taken the key. */
  forget(key: string, write: Write): void {
    const slot = this.#slots.get(key);
    if (slot?.write !== write) return;
    slot.write = undefined;
    this.#slots.delete(key);
  }

  has(key: string): boolean {
    return this.#slots.has(key);
  }

  clear(): void {
    for (const slot of this.#slots.values()) slot.write = undefined;
    this.#slots.clear();
  }
}
