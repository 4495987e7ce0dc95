import { dns1035Label, dns1123Label, dns1123Subdomain, labelValue, qualifiedName } from '#api/meta/names.ts';
import { parseTimestamp } from '../values/time-text.ts';
import { ArrayList, CelOpaque, CelOptional } from '../values/value.ts';
import { global, member, type Overload } from './function-table.ts';
import { parseRequestUrl, UrlError } from './urls.ts';

type Validate = (text: string) => readonly string[];

class CelFormat extends CelOpaque {
  override readonly typeName = 'kubernetes.NamedFormat';
  readonly validate: Validate;
  /** Length of a pattern that would do the same: what a validation is priced by. */
  override readonly costSize: number;

  constructor(validate: Validate, costSize: number) {
    super();
    this.validate = validate;
    this.costSize = costSize;
  }

  override equals(other: CelOpaque): boolean {
    return other === this;
  }
}

const plain =
  (isValid: (text: string) => boolean, message: string): Validate =>
  (text) =>
    isValid(text) ? [] : [message];

/** A prefix of generateName may end in a dash: what is appended makes a name of it. */
const prefix =
  (rule: Validate): Validate =>
  (text) =>
    rule(text.endsWith('-') && text.length > 1 ? `${text.slice(0, -1)}a` : text);

const uri: Validate = (text) => {
  try {
    parseRequestUrl(text);
    return [];
  } catch (error) {
    if (error instanceof UrlError) return [error.message];
    throw error;
  }
};

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$/;

const FORMATS: Readonly<Record<string, CelFormat>> = {
  dns1123Label: new CelFormat(dns1123Label, 30),
  dns1123Subdomain: new CelFormat(dns1123Subdomain, 60),
  dns1035Label: new CelFormat(dns1035Label, 30),
  qualifiedName: new CelFormat(qualifiedName, 60),
  dns1123LabelPrefix: new CelFormat(prefix(dns1123Label), 30),
  dns1123SubdomainPrefix: new CelFormat(prefix(dns1123Subdomain), 60),
  dns1035LabelPrefix: new CelFormat(prefix(dns1035Label), 30),
  labelValue: new CelFormat(labelValue, 40),
  uri: new CelFormat(uri, 1000),
  uuid: new CelFormat(
    plain((text) => UUID.test(text), 'does not match the UUID format'),
    90,
  ),
  byte: new CelFormat(
    plain((text) => BASE64.test(text), 'invalid base64'),
    100,
  ),
  date: new CelFormat(
    plain((text) => parseTimestamp(`${text}T00:00:00Z`) !== undefined, 'invalid date'),
    120,
  ),
  datetime: new CelFormat(
    plain((text) => parseTimestamp(text) !== undefined, 'invalid datetime'),
    120,
  ),
};

const TYPE = 'kubernetes.NamedFormat';

export const FORMATS_LIBRARY: readonly Overload[] = [
  ...Object.entries(FORMATS).map(([name, format]) =>
    global(`format.${name}`, `format.${name}`, `() -> ${TYPE}`, () => format),
  ),
  global('format.named', 'format-named', `(string) -> optional(${TYPE})`, ([name]) => {
    const format = Object.hasOwn(FORMATS, name as string) ? FORMATS[name as string] : undefined;
    return format === undefined ? CelOptional.none : new CelOptional(format);
  }),
  member('validate', 'format-validate', `(${TYPE}, string) -> optional(list(string))`, ([format, text]) => {
    const problems = (format as CelFormat).validate(text as string);
    return problems.length === 0 ? CelOptional.none : new CelOptional(new ArrayList(problems));
  }),
];
