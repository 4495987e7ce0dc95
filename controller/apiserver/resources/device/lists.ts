import { duplicate, type FieldError, tooMany } from '#api/object/field-error.ts';

type ItemRule<T> = (item: T, path: string) => FieldError[];

/** Findings on each entry, and on a list that is too long. */
export function validateList<T>(
  list: readonly T[] | undefined,
  max: number,
  rule: ItemRule<T>,
  path: string,
): FieldError[] {
  const items = list ?? [];
  const errors = items.flatMap((item, i) => rule(item, `${path}[${i}]`));
  return items.length > max ? [...errors, tooMany(path, items.length, max)] : errors;
}

/** The same of a list whose entries differ in what `keyOf` answers; duplicates are told at `keyField` of the entry. */
export function validateDistinct<T>(
  list: readonly T[] | undefined,
  { keyOf, keyField }: { keyOf(item: T): string; readonly keyField: string },
  path: string,
): FieldError[] {
  const seen = new Set<string>();
  return (list ?? []).flatMap((item, i) => {
    const key = keyOf(item);
    const isSeen = seen.has(key);
    seen.add(key);
    return isSeen ? [duplicate(`${path}[${i}]${keyField === '' ? '' : `.${keyField}`}`, key)] : [];
  });
}

export const byName = { keyOf: ({ name }: { readonly name?: string }) => name ?? '', keyField: 'name' };
export const byItself = { keyOf: (item: string) => item, keyField: '' };

/** Entries of a map; a finding stands at `path[key]`. */
export function validateEntries<T>(
  map: Readonly<Record<string, T>> | undefined,
  ruleOfKey: (key: string, path: string) => FieldError[],
  ruleOfValue: ItemRule<T>,
  path: string,
): FieldError[] {
  return Object.entries(map ?? {}).flatMap(([key, value]) => {
    const at = `${path}[${key}]`;
    return [...ruleOfKey(key, at), ...ruleOfValue(value, at)];
  });
}
