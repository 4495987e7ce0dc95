import { SelectorError } from './label-selector.ts';

export interface FieldRequirement {
  readonly field: string;
  readonly operator: '=' | '!=';
  readonly value: string;
}

export interface FieldSelector {
  /** A field that the object does not list counts as empty. */
  matches(fields: Readonly<Record<string, string>>): boolean;
  readonly isEmpty: boolean;
  readonly requirements: readonly FieldRequirement[];
  /** The value this selector demands of `field` with `=`, or undefined: what an index can serve. */
  exactMatch(field: string): string | undefined;
  toString(): string;
}

class Requirements implements FieldSelector {
  readonly requirements: readonly FieldRequirement[];

  constructor(requirements: readonly FieldRequirement[]) {
    this.requirements = requirements;
  }

  get isEmpty(): boolean {
    return this.requirements.length === 0;
  }

  matches(fields: Readonly<Record<string, string>>): boolean {
    for (const { field, operator, value } of this.requirements) {
      const actual = Object.hasOwn(fields, field) ? fields[field] : '';
      if ((actual === value) !== (operator === '=')) return false;
    }
    return true;
  }

  exactMatch(field: string): string | undefined {
    return this.requirements.find((one) => one.field === field && one.operator === '=')?.value;
  }

  toString(): string {
    return this.requirements.map(({ field, operator, value }) => `${field}${operator}${escapeValue(value)}`).join(',');
  }
}

export const everyField: FieldSelector = new Requirements([]);

const escapeValue = (value: string) => value.replaceAll(/[\\,=]/g, (char) => `\\${char}`);

/** Reads a `fieldSelector` query parameter: `a=b,c!=d`, with `\` before a `,`, `=` or `\` of a value. Throws SelectorError. */
export function parseFieldSelector(text: string): FieldSelector {
  if (text === '') return everyField;
  const requirements: FieldRequirement[] = [];
  for (const term of splitTerms(text)) {
    if (term === '') continue;
    const requirement = parseTerm(term);
    if (requirement === undefined) throw new SelectorError(`invalid selector: '${text}'; can't understand '${term}'`);
    requirements.push(requirement);
  }
  return requirements.length === 0 ? everyField : new Requirements(requirements);
}

function splitTerms(text: string): string[] {
  const terms: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === ',') {
      terms.push(text.slice(start, at));
      start = at + 1;
    }
  }
  terms.push(text.slice(start));
  return terms;
}

function parseTerm(term: string): FieldRequirement | undefined {
  for (let at = 0; at < term.length; at++) {
    const rest = term.slice(at, at + 2);
    const operator = rest === '!=' || rest === '==' ? rest : term[at] === '=' ? '=' : undefined;
    if (operator === undefined) continue;
    const value = unescapeValue(term.slice(at + operator.length));
    return { field: term.slice(0, at), operator: operator === '!=' ? '!=' : '=', value };
  }
  return undefined;
}

function unescapeValue(text: string): string {
  if (!/[\\,=]/.test(text)) return text;
  let value = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\\') {
      const escaped = text[at + 1];
      if (escaped !== '\\' && escaped !== ',' && escaped !== '=') {
        throw new SelectorError(`invalid field selector: invalid escape sequence: ${text.slice(at, at + 2)}`);
      }
      value += escaped;
      at++;
    } else if (char === '=' || char === ',') {
      throw new SelectorError(`invalid field selector: unescaped character in value: ${char}`);
    } else {
      value += char;
    }
  }
  return value;
}
