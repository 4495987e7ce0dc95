import type { Snapshot, StoredObject } from '../../store/store.ts';
import type { ListMeta } from '../table/table.ts';
import { encodeContinueToken } from './continue-token.ts';
import type { ObjectSelector } from './object-selector.ts';
import type { ListOptions } from './request-options.ts';
import type { TimeSlice } from './time-slice.ts';

export interface PageParts {
  readonly snapshot: Snapshot;
  readonly prefix: string;
  readonly selector: ObjectSelector;
  readonly options: ListOptions;
  /** Without the prefix; undefined on the first page. */
  readonly afterKey: string | undefined;
}

/** What a list answers: found once, whatever form it is answered in. */
export interface FoundPage {
  readonly items: readonly StoredObject[];
  readonly meta: ListMeta;
}

/** The whole collection, which every client that asks gets alike. */
export function isWhole({ selector, options, afterKey }: PageParts): boolean {
  return selector.isEverything && options.limit === 0 && afterKey === undefined;
}

/** One page of a list, from one immutable snapshot. */
export async function findPage(parts: PageParts, slice: TimeSlice): Promise<FoundPage> {
  const { selector, options } = parts;
  const items: StoredObject[] = [];
  for (const object of candidates(parts)) {
    const pause = slice.pause();
    if (pause !== undefined) await pause;
    if (!selector.matches(object)) continue;
    if (options.limit > 0 && items.length === options.limit) return { items, meta: metaOf(parts, items.at(-1)) };
    items.push(object);
  }
  return { items, meta: metaOf(parts, undefined) };
}

/** `last` of a page that others follow; what remains is counted only where nothing is selected. */
function metaOf({ snapshot, prefix, selector }: PageParts, last: StoredObject | undefined): ListMeta {
  const resourceVersion = String(snapshot.revision);
  if (last === undefined) return { resourceVersion };
  const token = encodeContinueToken({ revision: snapshot.revision, afterKey: last.key.slice(prefix.length) });
  if (!selector.isEverything) return { resourceVersion, continue: token };
  return { resourceVersion, continue: token, remainingItemCount: snapshot.count(prefix, last.key) };
}

function* candidates(parts: PageParts): Iterable<StoredObject> {
  const { snapshot, prefix } = parts;
  const afterKey = parts.afterKey === undefined ? undefined : prefix + parts.afterKey;
  const indexed = indexedCandidates(parts);
  if (indexed === undefined) {
    yield* snapshot.range(prefix, afterKey);
    return;
  }
  // An index is in the order of keys as well.
  for (const object of indexed) if (afterKey === undefined || object.key > afterKey) yield object;
}

/** An index narrows the walk where the selector demands one value of an indexed field or label. */
function indexedCandidates({
  snapshot,
  prefix,
  selector,
}: Pick<PageParts, 'snapshot' | 'prefix' | 'selector'>): Iterable<StoredObject> | undefined {
  for (const { field, operator, value } of selector.fields.requirements) {
    const indexed = operator === '=' ? snapshot.byField(prefix, field, value) : undefined;
    if (indexed !== undefined) return indexed;
  }
  for (const { key, operator, values } of selector.labels.requirements) {
    const [only] = values;
    const isOne =
      values.length === 1 && only !== undefined && (operator === '=' || operator === '==' || operator === 'in');
    const indexed = isOne ? snapshot.byLabel(prefix, key, only) : undefined;
    if (indexed !== undefined) return indexed;
  }
  return undefined;
}
