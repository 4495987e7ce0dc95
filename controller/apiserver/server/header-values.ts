import type { ApiRequest } from './api-request.ts';

/**
 * Values of the headers that name users, one for each line that the client sent: a group or an extra value may hold a comma, so the joined
 * form of `header` would make two of it.
 */
export function headerValues({ rawHeaders }: ApiRequest, name: string): string[] {
  return valuesByName(rawHeaders ?? [], (candidate) => candidate === name).get(name) ?? [];
}

/** Rest of the name -> values, for headers whose names begin with `prefix`. */
export function headersBelow({ rawHeaders }: ApiRequest, prefix: string): Map<string, string[]> {
  const found = valuesByName(rawHeaders ?? [], (name) => name.startsWith(prefix));
  return new Map([...found].map(([name, values]) => [name.slice(prefix.length), values]));
}

function valuesByName(rawHeaders: readonly string[], isWanted: (name: string) => boolean): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!.toLowerCase();
    if (!isWanted(name)) continue;
    const values = found.get(name);
    if (values === undefined) found.set(name, [rawHeaders[index + 1]!]);
    else values.push(rawHeaders[index + 1]!);
  }
  return found;
}

/** A record of headers as `rawHeaders` has them; a list is a header sent that often. */
export const toRawHeaders = (headers: Readonly<Record<string, string | readonly string[]>>): string[] =>
  Object.entries(headers).flatMap(([name, values]) => [values].flat().flatMap((value) => [name, value as string]));
