import type { StoreEvent, Watcher, WatchOptions } from './store.ts';

/**
 * A registered watch. `seenRevision` keeps an event from reaching a watch that was started while it was being handed out; it does not grow
 * with the events, because a transaction's all have one revision.
 */
class HubWatch implements Watcher {
  readonly options: WatchOptions;
  seenRevision: number;
  readonly #leave: (watch: HubWatch) => void;
  #stopped = false;

  constructor(options: WatchOptions, leave: (watch: HubWatch) => void) {
    this.options = options;
    this.seenRevision = options.fromRevision;
    this.#leave = leave;
  }

  get stopped(): boolean {
    return this.#stopped;
  }

  stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#leave(this);
  }

  deliver(event: StoreEvent): void {
    if (this.#stopped || event.revision <= this.seenRevision) return;
    this.options.onEvent(event);
  }
}

interface PrefixWatches {
  readonly all: Set<HubWatch>;
  /** By field name, then by value. */
  readonly byField: Map<string, Map<string, Set<HubWatch>>>;
}

/**
 * Finds the watches that an event may interest, through the key's prefixes and the values of the fields that watches narrow on:
 * a thousand agents that watch their own pods cost an event no more than one.
 */
export class WatchHub {
  readonly #byPrefix = new Map<string, PrefixWatches>();
  /** Prefixes that do not end at a slash, which the walk over a key's path does not meet. Rare. */
  readonly #oddPrefixes = new Set<string>();
  readonly #watches = new Set<HubWatch>();

  get size(): number {
    return this.#watches.size;
  }

  add(options: WatchOptions): HubWatch {
    const watch = new HubWatch(options, (gone) => this.#remove(gone));
    this.#watches.add(watch);
    this.#bucketFor(options).add(watch);
    return watch;
  }

  dispatch(event: StoreEvent): void {
    const { key } = event.object;
    for (let slash = key.indexOf('/'); slash >= 0; slash = key.indexOf('/', slash + 1)) {
      this.#dispatchTo(key.slice(0, slash + 1), event);
    }
    if (this.#oddPrefixes.size === 0) return;
    for (const prefix of [...this.#oddPrefixes]) if (key.startsWith(prefix)) this.#dispatchTo(prefix, event);
  }

  closeAll(reason: 'compacted' | 'closed'): void {
    for (const watch of [...this.#watches]) {
      watch.stop();
      watch.options.onClose(reason);
    }
  }

  #dispatchTo(prefix: string, event: StoreEvent): void {
    const watches = this.#byPrefix.get(prefix);
    if (watches === undefined) return;
    for (const watch of watches.all) watch.deliver(event);
    for (const [name, byValue] of watches.byField) {
      const value = event.object.fields[name] ?? '';
      const previousValue = event.previous?.fields[name] ?? (event.previous === undefined ? value : '');
      for (const watch of byValue.get(value) ?? []) watch.deliver(event);
      if (previousValue === value) continue;
      for (const watch of byValue.get(previousValue) ?? []) watch.deliver(event);
    }
  }

  #bucketFor({ prefix, field }: WatchOptions): Set<HubWatch> {
    let watches = this.#byPrefix.get(prefix);
    if (watches === undefined) {
      watches = { all: new Set(), byField: new Map() };
      this.#byPrefix.set(prefix, watches);
      if (!prefix.endsWith('/')) this.#oddPrefixes.add(prefix);
    }
    if (field === undefined) return watches.all;
    const byValue = computeIfAbsent(watches.byField, field.name, () => new Map<string, Set<HubWatch>>());
    return computeIfAbsent(byValue, field.value, () => new Set<HubWatch>());
  }

  #remove(watch: HubWatch): void {
    this.#watches.delete(watch);
    const { prefix, field } = watch.options;
    const watches = this.#byPrefix.get(prefix);
    if (watches === undefined) return;
    if (field === undefined) watches.all.delete(watch);
    else {
      const byValue = watches.byField.get(field.name);
      const bucket = byValue?.get(field.value);
      bucket?.delete(watch);
      if (bucket?.size === 0) byValue?.delete(field.value);
      if (byValue?.size === 0) watches.byField.delete(field.name);
    }
    if (watches.all.size > 0 || watches.byField.size > 0) return;
    this.#byPrefix.delete(prefix);
    this.#oddPrefixes.delete(prefix);
  }
}

function computeIfAbsent<V>(map: Map<string, V>, key: string, create: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const created = create();
  map.set(key, created);
  return created;
}

/** Whether a narrowed watch may want this event: its field has the value before or after. */
export function matchesField(field: WatchOptions['field'], event: StoreEvent): boolean {
  if (field === undefined) return true;
  if ((event.object.fields[field.name] ?? '') === field.value) return true;
  return event.previous !== undefined && (event.previous.fields[field.name] ?? '') === field.value;
}
