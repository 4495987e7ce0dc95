import { type LabelSelectorObject, labelSelectorFrom, SelectorError } from '#api/meta/label-selector.ts';
import { ageOf } from './duration.ts';

export const NONE = '<none>';
export const UNKNOWN = '<unknown>';

interface Dated {
  readonly metadata: { readonly creationTimestamp?: string | null };
}

/** The Age cell. */
export function age(object: Dated, nowMs: number): string {
  return ageOf(object.metadata.creationTimestamp, nowMs);
}

export function orNone(value: string | undefined): string {
  return value === undefined || value === '' ? NONE : value;
}

interface ContainerLike {
  readonly name?: string;
  readonly image?: string;
}

/** The Containers and Images cells. */
export function containerCells(containers: readonly ContainerLike[] | undefined): [string, string] {
  const all = containers ?? [];
  return [all.map((c) => c.name ?? '').join(','), all.map((c) => c.image ?? '').join(',')];
}

/** `a,b,c + 2 more...`: at most `max` entries; `empty` when there is none. */
export function listWithMore(entries: readonly string[], max: number, empty: string): string {
  if (entries.length === 0) return empty;
  const shown = entries.slice(0, max).join(',');
  return entries.length > max ? `${shown} + ${entries.length - max} more...` : shown;
}

/** `address:port`, with brackets around IPv6 addresses. */
export function hostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** `a=1,b=2`, keys sorted; `<none>` for no labels. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const entries = Object.entries(labels ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? NONE : entries.map(([key, value]) => `${key}=${value}`).join(',');
}

/** The Selector cell. Stored selectors were valid when they were written; one that no longer is prints as an error, not as a crash. */
export function formatLabelSelector(selector: LabelSelectorObject | null | undefined): string {
  try {
    return orNone(labelSelectorFrom(selector).toString());
  } catch (err) {
    if (err instanceof SelectorError) return '<error>';
    throw err;
  }
}
