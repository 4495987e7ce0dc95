import { parseCidr, parseIp } from './ip-address.ts';

/*
 * Name rules of Kubernetes. Each validator answers with what is wrong, in Kubernetes' words, or with an empty list.
 */

const LABEL = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const SUBDOMAIN = `${LABEL}(\\.${LABEL})*`;
const LABEL_1035 = '[a-z]([-a-z0-9]*[a-z0-9])?';
const QUALIFIED = '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]';
const LABEL_VALUE = `(${QUALIFIED})?`;

const whole = (pattern: string) => new RegExp(`^(?:${pattern})$`);
const labelPattern = whole(LABEL);
const subdomainPattern = whole(SUBDOMAIN);
const label1035Pattern = whole(LABEL_1035);
const qualifiedPattern = whole(QUALIFIED);
const labelValuePattern = whole(LABEL_VALUE);
const configMapKeyPattern = /^[-._a-zA-Z0-9]+$/;

const OK: readonly string[] = [];

function patternError(message: string, pattern: string, ...examples: readonly string[]): string {
  const shown = examples.map((example) => `'${example}', `).join(' or ');
  return examples.length === 0
    ? `${message} (regex used for validation is '${pattern}')`
    : `${message} (e.g. ${shown}regex used for validation is '${pattern}')`;
}

const tooLong = (maxBytes: number) => `must be no more than ${maxBytes} bytes`;
/** Names are ASCII once their pattern has matched, so characters count as bytes for every valid name. */
const isLonger = (value: string, maxBytes: number) => value.length > maxBytes || Buffer.byteLength(value) > maxBytes;

interface NameRule {
  readonly pattern: RegExp;
  readonly source: string;
  readonly maxBytes: number;
  readonly message: string;
  readonly examples: readonly string[];
}

function check(value: string, rule: NameRule): string[] {
  const errors: string[] = [];
  const isTooLong = isLonger(value, rule.maxBytes);
  if (isTooLong) errors.push(tooLong(rule.maxBytes));
  // A huge value is refused already: its pattern is not run, whatever it costs.
  const isAbsurd = value.length > 4096;
  if (isAbsurd || !rule.pattern.test(value)) errors.push(patternError(rule.message, rule.source, ...rule.examples));
  return errors;
}

const label1123Rule: NameRule = {
  pattern: labelPattern,
  source: LABEL,
  maxBytes: 63,
  message:
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
  examples: ['my-name', '123-abc'],
};
const subdomainRule: NameRule = {
  pattern: subdomainPattern,
  source: SUBDOMAIN,
  maxBytes: 253,
  message:
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
  examples: ['example.com'],
};
const label1035Rule: NameRule = {
  pattern: label1035Pattern,
  source: LABEL_1035,
  maxBytes: 63,
  message:
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
  examples: ['my-name', 'abc-123'],
};
const labelValueRule: NameRule = {
  pattern: labelValuePattern,
  source: LABEL_VALUE,
  maxBytes: 63,
  message:
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
  examples: ['MyValue', 'my_value', '12345'],
};

/** At most 63 bytes of `[a-z0-9-]`: namespaces, container names, host names. */
export function dns1123Label(value: string): readonly string[] {
  return value.length <= 63 && labelPattern.test(value) ? OK : check(value, label1123Rule);
}

/** Labels joined by dots, at most 253 bytes: the names of most objects. */
export function dns1123Subdomain(value: string): readonly string[] {
  return value.length <= 253 && subdomainPattern.test(value) ? OK : check(value, subdomainRule);
}

/** A label that starts with a letter: Services. */
export function dns1035Label(value: string): readonly string[] {
  return value.length <= 63 && label1035Pattern.test(value) ? OK : check(value, label1035Rule);
}

export function wildcardDns1123Subdomain(value: string): readonly string[] {
  const source = `\\*\\.${SUBDOMAIN}`;
  return check(value, {
    pattern: whole(source),
    source,
    maxBytes: 253,
    message:
      "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character",
    examples: ['*.example.com'],
  });
}

const QUALIFIED_MESSAGE =
  "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const qualifiedError = () => patternError(QUALIFIED_MESSAGE, QUALIFIED, 'MyName', 'my.name', '123-abc');

/** Names of objects that Kubernetes restricts only by what a URL path can carry: RBAC kinds, CSRs. */
export function pathSegmentName(value: string): readonly string[] {
  if (value === '.' || value === '..') return [`may not be '${value}'`];
  return ['/', '%'].filter((part) => value.includes(part)).map((part) => `may not contain '${part}'`);
}

/** `[prefix/]name`: label and annotation keys, resource names, finalizers, taint keys. */
export function qualifiedName(value: string): readonly string[] {
  if (value.length <= 63 && qualifiedPattern.test(value)) return OK;
  const parts = value.split('/');
  if (parts.length > 2) {
    return [
      `a qualified name ${qualifiedError()} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`,
    ];
  }
  const errors: string[] = [];
  if (parts.length === 2) {
    if (parts[0] === '') errors.push('prefix part must be non-empty');
    else errors.push(...dns1123Subdomain(parts[0]!).map((error) => `prefix part ${error}`));
  }
  const name = parts.at(-1)!;
  if (name === '') errors.push('name part must be non-empty');
  else if (isLonger(name, 63)) errors.push(`name part ${tooLong(63)}`);
  if (name.length > 4096 || !qualifiedPattern.test(name)) errors.push(`name part ${qualifiedError()}`);
  return errors;
}

export function labelValue(value: string): readonly string[] {
  return value.length <= 63 && labelValuePattern.test(value) ? OK : check(value, labelValueRule);
}

/** Keys of ConfigMaps and Secrets: file names to be. */
export function configMapKey(value: string): readonly string[] {
  const errors: string[] = [];
  if (isLonger(value, 253)) errors.push(tooLong(253));
  if (!configMapKeyPattern.test(value)) {
    errors.push(
      patternError(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
        '[-._a-zA-Z0-9]+',
        'key.name',
        'KEY_NAME',
        'key-name',
      ),
    );
  }
  if (value === '.') errors.push("must not be '.'");
  else if (value === '..') errors.push("must not be '..'");
  else if (value.startsWith('..')) errors.push("must not start with '..'");
  return errors;
}

/** Any printable ASCII but `=`, as Kubernetes 1.34 and later allow. */
export function envVarName(value: string): readonly string[] {
  if (value === '') return ['environment variable name must be non-empty'];
  return /^[ -<>-~]+$/.test(value)
    ? OK
    : ["a valid environment variable name must consist only of printable ASCII characters other than '='"];
}

/** IANA service names: names of container and Service ports. */
export function portName(value: string): readonly string[] {
  const errors: string[] = [];
  if (value.length > 15) errors.push('must be no more than 15 characters');
  if (!/^[-a-z0-9]+$/.test(value)) {
    errors.push('must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)');
  }
  if (!/[a-z]/.test(value)) errors.push('must contain at least one letter (a-z)');
  if (value.includes('--')) errors.push('must not contain consecutive hyphens');
  if (value.startsWith('-') || value.endsWith('-')) errors.push('must not begin or end with a hyphen');
  return errors;
}

export function portNumber(value: number): readonly string[] {
  return inclusiveRange(value, 1, 65535);
}

export function inclusiveRange(value: number, min: number, max: number): readonly string[] {
  return Number.isInteger(value) && value >= min && value <= max
    ? OK
    : [`must be between ${min} and ${max}, inclusive`];
}

export function ipAddress(value: string): readonly string[] {
  return parseIp(value) !== undefined ? OK : ['must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'];
}

/** `10.0.0.0/8`; the host bits may be set, as Kubernetes tolerates in existing fields. */
export function cidr(value: string): readonly string[] {
  return parseCidr(value) !== undefined ? OK : ['must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)'];
}

export function percent(value: string): readonly string[] {
  return /^[0-9]+%$/.test(value)
    ? OK
    : [
        patternError(
          "a valid percent string must be a numeric string followed by an ending '%'",
          '[0-9]+%',
          '1%',
          '93%',
        ),
      ];
}

export function httpHeaderName(value: string): readonly string[] {
  return /^[-A-Za-z0-9]+$/.test(value)
    ? OK
    : [
        patternError(
          "a valid HTTP header must consist of alphanumeric characters or '-'",
          '[-A-Za-z0-9]+',
          'X-Header-Name',
        ),
      ];
}

/** A name that `generateName` may start: the random suffix may follow a trailing dash. */
export function asPrefix(validate: (name: string) => readonly string[]): (prefix: string) => readonly string[] {
  return (prefix) => validate(prefix.length > 1 && prefix.endsWith('-') ? `${prefix.slice(0, -1)}a` : prefix);
}
