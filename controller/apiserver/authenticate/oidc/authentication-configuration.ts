import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { ConfigError } from '#base/config.ts';
import type { AnonymousAccess } from '../../chain/filters/authenticate.ts';
import { type ClaimExpression, compileClaimExpression } from './claim-expressions.ts';

/** A value of the user that comes from a claim or is computed from all of them. */
export type Mapping = { readonly claim: string; readonly prefix: string } | { readonly expression: ClaimExpression };

export interface ExtraMapping {
  readonly key: string;
  readonly expression: ClaimExpression;
}

export type ClaimRule =
  | { readonly claim: string; readonly requiredValue: string }
  | { readonly expression: ClaimExpression; readonly message: string };

export interface UserRule {
  readonly expression: ClaimExpression;
  readonly message: string;
}

/** One issuer of tokens whose word counts here. */
export interface JwtIssuer {
  readonly url: string;
  readonly discoveryUrl: string;
  /** PEM; undefined: the authorities that this host trusts. */
  readonly certificateAuthority: string | undefined;
  readonly audiences: readonly string[];
  readonly claimValidationRules: readonly ClaimRule[];
  readonly username: Mapping;
  readonly groups: Mapping | undefined;
  readonly uid: Mapping | undefined;
  readonly extra: readonly ExtraMapping[];
  readonly userValidationRules: readonly UserRule[];
}

export interface AuthenticationConfiguration {
  readonly issuers: readonly JwtIssuer[];
  /** Undefined: the default stands. */
  readonly anonymous: AnonymousAccess | undefined;
}

const GROUP = 'apiserver.config.k8s.io';
const VERSIONS = ['v1', 'v1beta1'].map((version) => `${GROUP}/${version}`);
const MAX_ISSUERS = 64;
const EXTRA_KEY = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+\/[a-z0-9%._~!$&'()*+,;=:@/-]+$/;
const RESERVED_DOMAINS = /(^|\.)(kubernetes|k8s)\.io$/;

export interface ConfigurationContext {
  readonly fileName: string;
  /** An issuer that only the API server itself may speak as. */
  readonly ownIssuer: string;
}

/** The configuration of a parsed document. Throws ConfigError, naming the field, where it is wrong in any way. */
export function parseAuthenticationConfiguration(
  document: unknown,
  { fileName, ownIssuer }: ConfigurationContext,
): AuthenticationConfiguration {
  const reader = new Reader(fileName);
  if (!isJsonObject(document)) return reader.fail('', 'expected an AuthenticationConfiguration');
  if (document.kind !== 'AuthenticationConfiguration' || !VERSIONS.includes(String(document.apiVersion))) {
    const found = `found ${document.kind} of ${document.apiVersion}`;
    reader.fail('', `expected kind AuthenticationConfiguration of ${VERSIONS.join(' or ')}, ${found}`);
  }
  reader.onlyFields(document, '', ['apiVersion', 'kind', 'jwt', 'anonymous']);
  const issuers = reader.objects(document, '', 'jwt').map((jwt, i) => readIssuer(reader, jwt, `jwt[${i}]`));
  if (issuers.length > MAX_ISSUERS) reader.fail('jwt', `must have at most ${MAX_ISSUERS} items`);
  issuers.forEach(({ url, discoveryUrl }, i) => {
    const at = `jwt[${i}].issuer`;
    if (url === ownIssuer) reader.fail(`${at}.url`, `URL must not overlap with disallowed issuers: [${ownIssuer}]`);
    if (issuers.findIndex((one) => one.url === url) < i) reader.fail(`${at}.url`, `duplicate value: ${url}`);
    if (issuers.findIndex((one) => one.discoveryUrl === discoveryUrl) < i) {
      reader.fail(`${at}.discoveryURL`, `duplicate value: ${discoveryUrl}`);
    }
  });
  return { issuers, anonymous: readAnonymous(reader, document.anonymous) };
}

function readAnonymous(reader: Reader, value: unknown): AnonymousAccess | undefined {
  if (value === undefined) return undefined;
  if (!isJsonObject(value)) return reader.fail('anonymous', 'expected an object');
  reader.onlyFields(value, 'anonymous', ['enabled', 'conditions']);
  const enabled = value.enabled === true;
  const conditions = reader.objects(value, 'anonymous', 'conditions');
  if (!enabled && conditions.length > 0) {
    reader.fail('anonymous.conditions', 'enabled should be set to true when conditions are defined');
  }
  const paths = conditions.map((condition, i) => reader.text(condition, `anonymous.conditions[${i}]`, 'path'));
  return { enabled, paths: paths.length === 0 ? undefined : paths };
}

function readIssuer(reader: Reader, jwt: JsonObject, path: string): JwtIssuer {
  reader.onlyFields(jwt, path, ['issuer', 'claimValidationRules', 'claimMappings', 'userValidationRules']);
  const issuer = reader.object(jwt, path, 'issuer');
  const at = `${path}.issuer`;
  reader.onlyFields(issuer, at, ['url', 'discoveryURL', 'certificateAuthority', 'audiences', 'audienceMatchPolicy']);
  const url = reader.httpsUrl(issuer, at, 'url');
  const audiences = readAudiences(reader, issuer, at);
  const mappings = reader.object(jwt, path, 'claimMappings');
  const mapped = readMappings(reader, mappings, `${path}.claimMappings`);
  const claimValidationRules = reader
    .objects(jwt, path, 'claimValidationRules')
    .map((rule, i) => readClaimRule(reader, rule, `${path}.claimValidationRules[${i}]`));
  requireVerifiedEmail(reader, mapped, claimValidationRules, `${path}.claimMappings.username.expression`);
  return {
    url,
    discoveryUrl: readDiscoveryUrl(reader, issuer, { at, url }),
    certificateAuthority: reader.optionalText(issuer, at, 'certificateAuthority'),
    audiences,
    claimValidationRules,
    ...mapped,
    userValidationRules: reader
      .objects(jwt, path, 'userValidationRules')
      .map((rule, i) => readUserRule(reader, rule, `${path}.userValidationRules[${i}]`)),
  };
}

function readDiscoveryUrl(reader: Reader, issuer: JsonObject, { at, url }: { at: string; url: string }): string {
  if (issuer.discoveryURL === undefined || issuer.discoveryURL === '') {
    return `${url.replace(/\/$/, '')}/.well-known/openid-configuration`;
  }
  const discovery = reader.httpsUrl(issuer, at, 'discoveryURL');
  if (discovery.replace(/\/$/, '') === url.replace(/\/$/, '')) {
    reader.fail(`${at}.discoveryURL`, 'discoveryURL must be different from URL');
  }
  return discovery;
}

function readAudiences(reader: Reader, issuer: JsonObject, at: string): readonly string[] {
  const audiences = reader.texts(issuer, at, 'audiences');
  if (audiences.length === 0) reader.fail(`${at}.audiences`, 'at least one jwt[...].issuer.audiences is required');
  const policy = issuer.audienceMatchPolicy ?? '';
  if (audiences.length > 1 && policy !== 'MatchAny') {
    reader.fail(`${at}.audienceMatchPolicy`, 'audienceMatchPolicy must be MatchAny for multiple audiences');
  }
  if (policy !== '' && policy !== 'MatchAny') {
    reader.fail(`${at}.audienceMatchPolicy`, 'audienceMatchPolicy must be empty or MatchAny for single audience');
  }
  return audiences;
}

type Mappings = Pick<JwtIssuer, 'username' | 'groups' | 'uid' | 'extra'>;

function readMappings(reader: Reader, mappings: JsonObject, path: string): Mappings {
  reader.onlyFields(mappings, path, ['username', 'groups', 'uid', 'extra']);
  const username = readMapping(reader, mappings, { path, field: 'username', hasPrefix: true });
  if (username === undefined) return reader.fail(`${path}.username`, 'claim or expression is required');
  const keys = new Set<string>();
  const extra = reader.objects(mappings, path, 'extra').map((one, i) => {
    const at = `${path}.extra[${i}]`;
    reader.onlyFields(one, at, ['key', 'valueExpression']);
    const key = reader.text(one, at, 'key');
    checkExtraKey(reader, key, `${at}.key`);
    if (keys.has(key)) reader.fail(`${at}.key`, `duplicate value: ${key}`);
    keys.add(key);
    return { key, expression: reader.expression(one, at, 'valueExpression', ['string', 'list(string)']) };
  });
  const groups = readMapping(reader, mappings, { path, field: 'groups', hasPrefix: true });
  return { username, groups, uid: readMapping(reader, mappings, { path, field: 'uid', hasPrefix: false }), extra };
}

function checkExtraKey(reader: Reader, key: string, at: string): void {
  if (!EXTRA_KEY.test(key)) reader.fail(at, 'must be a domain-prefixed path in lower case, like "example.com/foo"');
  if (RESERVED_DOMAINS.test(key.slice(0, key.indexOf('/')))) {
    reader.fail(at, 'k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use');
  }
}

function readMapping(
  reader: Reader,
  mappings: JsonObject,
  { path, field, hasPrefix }: { readonly path: string; readonly field: string; readonly hasPrefix: boolean },
): Mapping | undefined {
  if (mappings[field] === undefined) return undefined;
  const at = `${path}.${field}`;
  const mapping = reader.object(mappings, path, field);
  reader.onlyFields(mapping, at, hasPrefix ? ['claim', 'prefix', 'expression'] : ['claim', 'expression']);
  const claim = reader.optionalText(mapping, at, 'claim');
  if (mapping.expression !== undefined && mapping.expression !== '') {
    if (claim !== undefined) reader.fail(at, "claim and expression can't both be set");
    if (mapping.prefix !== undefined) reader.fail(`${at}.prefix`, "prefix can't be set when expression is set");
    const results = field === 'groups' ? ['string', 'list(string)'] : ['string'];
    return { expression: reader.expression(mapping, at, 'expression', results) };
  }
  if (claim === undefined) return undefined;
  if (hasPrefix && typeof mapping.prefix !== 'string') {
    reader.fail(
      `${at}.prefix`,
      'prefix is required when claim is set. It can be set to an empty string to disable prefixing',
    );
  }
  return { claim, prefix: typeof mapping.prefix === 'string' ? mapping.prefix : '' };
}

function readClaimRule(reader: Reader, rule: JsonObject, at: string): ClaimRule {
  reader.onlyFields(rule, at, ['claim', 'requiredValue', 'expression', 'message']);
  const claim = reader.optionalText(rule, at, 'claim');
  if (claim === undefined) {
    if (rule.requiredValue !== undefined)
      reader.fail(`${at}.requiredValue`, "requiredValue can't be set when expression is set");
    const message = reader.optionalText(rule, at, 'message') ?? '';
    return { expression: reader.expression(rule, at, 'expression', ['bool']), message };
  }
  if (rule.expression !== undefined) reader.fail(at, "claim and expression can't both be set");
  if (rule.message !== undefined) reader.fail(`${at}.message`, "message can't be set when claim is set");
  return { claim, requiredValue: reader.optionalText(rule, at, 'requiredValue') ?? '' };
}

function readUserRule(reader: Reader, rule: JsonObject, at: string): UserRule {
  reader.onlyFields(rule, at, ['expression', 'message']);
  const expression = reader.expression(rule, at, 'expression', ['bool'], 'user');
  return { expression, message: reader.optionalText(rule, at, 'message') ?? '' };
}

/** Who takes the mail address for a name must ask whether it was verified: anybody can claim an address at some issuers. */
function requireVerifiedEmail(
  reader: Reader,
  { username, extra }: Mappings,
  rules: readonly ClaimRule[],
  at: string,
): void {
  if (!('expression' in username) || !username.expression.claims.has('email')) return;
  const expressions = [
    username.expression,
    ...extra.map(({ expression }) => expression),
    ...rules.flatMap((rule) => ('expression' in rule ? [rule.expression] : [])),
  ];
  if (expressions.some(({ claims }) => claims.has('email_verified'))) return;
  const places =
    'claimMappings.username.expression or claimMappings.extra[*].valueExpression or claimValidationRules[*].expression';
  reader.fail(
    at,
    `claims.email_verified must be used in ${places} when claims.email is used in claimMappings.username.expression`,
  );
}

class Reader {
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  fail(path: string, message: string): never {
    throw new ConfigError(`${this.#fileName}: ${path === '' ? '' : `${path}: `}${message}`);
  }

  onlyFields(object: JsonObject, path: string, known: readonly string[]): void {
    const unknown = Object.keys(object).find((field) => !known.includes(field));
    if (unknown !== undefined) this.fail(path, `unknown field ${JSON.stringify(unknown)}`);
  }

  object(parent: JsonObject, path: string, field: string): JsonObject {
    const value = parent[field];
    return isJsonObject(value) ? value : this.fail(`${path}.${field}`, 'required, an object');
  }

  objects(parent: JsonObject, path: string, field: string): readonly JsonObject[] {
    const value = parent[field] ?? [];
    if (Array.isArray(value) && value.every(isJsonObject)) return value;
    return this.fail(path === '' ? field : `${path}.${field}`, 'expected a list of objects');
  }

  text(parent: JsonObject, path: string, field: string): string {
    return this.optionalText(parent, path, field) ?? this.fail(`${path}.${field}`, 'required value');
  }

  optionalText(parent: JsonObject, path: string, field: string): string | undefined {
    const value = parent[field];
    if (value === undefined || value === '') return undefined;
    return typeof value === 'string' ? value : this.fail(`${path}.${field}`, 'expected a string');
  }

  texts(parent: JsonObject, path: string, field: string): readonly string[] {
    const value = parent[field] ?? [];
    if (Array.isArray(value) && value.every((one) => typeof one === 'string' && one !== '')) return value as string[];
    return this.fail(`${path}.${field}`, 'expected a list of strings that are not empty');
  }

  httpsUrl(parent: JsonObject, path: string, field: string): string {
    const text = this.text(parent, path, field);
    const at = `${path}.${field}`;
    if (!URL.canParse(text)) this.fail(at, 'is no URL');
    const url = new URL(text);
    if (url.protocol !== 'https:') this.fail(at, 'URL scheme must be https');
    if (url.username !== '' || url.password !== '') this.fail(at, 'URL must not contain a username or password');
    if (url.search !== '') this.fail(at, 'URL must not contain a query');
    if (url.hash !== '') this.fail(at, 'URL must not contain a fragment');
    return text;
  }

  expression(
    parent: JsonObject,
    path: string,
    field: string,
    results: readonly string[],
    about: 'claims' | 'user' = 'claims',
  ): ClaimExpression {
    const source = this.text(parent, path, field);
    const compiled = compileClaimExpression(source, { results, about });
    return typeof compiled === 'string' ? this.fail(`${path}.${field}`, compiled) : compiled;
  }
}
