import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { ConfigError } from '#base/config.ts';
import type { RequestInfo, UserInfo } from '../chain/request-context.ts';

export type AuditLevel = 'None' | 'Metadata' | 'Request' | 'RequestResponse';
export type AuditStage = 'RequestReceived' | 'ResponseStarted' | 'ResponseComplete' | 'Panic';

const LEVELS: readonly string[] = ['None', 'Metadata', 'Request', 'RequestResponse'];
const STAGES: readonly string[] = ['RequestReceived', 'ResponseStarted', 'ResponseComplete', 'Panic'];

/** What the policy says about one request. */
export interface AuditDecision {
  readonly level: AuditLevel;
  readonly omitStages: ReadonlySet<string>;
  readonly omitManagedFields: boolean;
}

/** Decides from who asks for what; called once per request. */
export type AuditPolicy = (request: { readonly user: UserInfo; readonly info: RequestInfo }) => AuditDecision;

const NONE: AuditDecision = { level: 'None', omitStages: new Set(), omitManagedFields: false };

interface GroupResources {
  readonly group: string;
  readonly resources: readonly string[];
  readonly resourceNames: readonly string[];
}

interface Rule {
  readonly decision: AuditDecision;
  readonly users: readonly string[];
  readonly userGroups: readonly string[];
  readonly verbs: readonly string[];
  readonly resources: readonly GroupResources[];
  readonly namespaces: readonly string[];
  readonly nonResourceURLs: readonly string[];
}

/**
 * The policy of a parsed `audit.k8s.io/v1` Policy: the first rule that matches decides, and what no rule names is not written. Throws
 * ConfigError where the policy is wrong, naming the field.
 */
export function parseAuditPolicy(document: unknown, fileName: string): AuditPolicy {
  const fail = (path: string, message: string): never => {
    throw new ConfigError(`${fileName}: ${path === '' ? '' : `${path}: `}${message}`);
  };
  if (!isJsonObject(document)) return fail('', 'expected an audit policy');
  if (document.kind !== 'Policy' || document.apiVersion !== 'audit.k8s.io/v1') {
    fail('', `expected kind Policy of audit.k8s.io/v1, found ${document.kind} of ${document.apiVersion}`);
  }
  const reader = new PolicyReader(fail);
  reader.checkFields(document, '', ['apiVersion', 'kind', 'metadata', 'omitStages', 'omitManagedFields', 'rules']);
  const common = {
    omitStages: reader.stages(document, 'omitStages'),
    omitManagedFields: document.omitManagedFields === true,
  };
  const rules = reader.objects(document, '', 'rules').map((rule, i) => reader.rule(rule, `rules[${i}]`, common));
  if (rules.length === 0) fail('rules', 'a policy without rules would write nothing');
  return (request) => rules.find((rule) => matches(rule, request))?.decision ?? NONE;
}

const RULE_FIELDS = [
  'level',
  'users',
  'userGroups',
  'verbs',
  'resources',
  'namespaces',
  'nonResourceURLs',
  'omitStages',
  'omitManagedFields',
];

class PolicyReader {
  readonly #fail: (path: string, message: string) => never;

  constructor(fail: (path: string, message: string) => never) {
    this.#fail = fail;
  }

  /** A misspelt field would silently widen a rule. */
  checkFields(object: JsonObject, path: string, known: readonly string[]): void {
    for (const field of Object.keys(object)) {
      if (!known.includes(field)) this.#fail(join(path, field), 'unknown field');
    }
  }

  strings(object: JsonObject, path: string, field: string): readonly string[] {
    const value = object[field] ?? [];
    if (!Array.isArray(value) || value.some((one) => typeof one !== 'string')) {
      return this.#fail(join(path, field), 'expected a list of texts');
    }
    return value as string[];
  }

  objects(object: JsonObject, path: string, field: string): readonly JsonObject[] {
    const value = object[field] ?? [];
    if (!Array.isArray(value) || !value.every(isJsonObject)) {
      return this.#fail(join(path, field), 'expected a list of objects');
    }
    return value as JsonObject[];
  }

  stages(object: JsonObject, path: string): ReadonlySet<string> {
    const stages = this.strings(object, path.replace(/\.?omitStages$/, ''), 'omitStages');
    for (const stage of stages) {
      if (!STAGES.includes(stage)) this.#fail(path, `"${stage}" is not one of ${STAGES.join(', ')}`);
    }
    return new Set(stages);
  }

  rule(rule: JsonObject, path: string, common: Omit<AuditDecision, 'level'>): Rule {
    this.checkFields(rule, path, RULE_FIELDS);
    const { level, omitManagedFields } = rule;
    if (typeof level !== 'string' || !LEVELS.includes(level)) {
      this.#fail(`${path}.level`, `"${level ?? ''}" is not one of ${LEVELS.join(', ')}`);
    }
    const namespaces = this.strings(rule, path, 'namespaces');
    const resources = this.objects(rule, path, 'resources').map((one, i) =>
      this.#groupResources(one, `${path}.resources[${i}]`),
    );
    return {
      decision: {
        level: level as AuditLevel,
        omitStages: new Set([...common.omitStages, ...this.stages(rule, `${path}.omitStages`)]),
        omitManagedFields: omitManagedFields === undefined ? common.omitManagedFields : omitManagedFields === true,
      },
      users: this.strings(rule, path, 'users'),
      userGroups: this.strings(rule, path, 'userGroups'),
      verbs: this.strings(rule, path, 'verbs'),
      resources,
      namespaces,
      nonResourceURLs: this.#urls(rule, path, namespaces.length + resources.length > 0),
    };
  }

  #groupResources(object: JsonObject, path: string): GroupResources {
    this.checkFields(object, path, ['group', 'resources', 'resourceNames']);
    const { group = '' } = object;
    if (typeof group !== 'string') return this.#fail(`${path}.group`, 'expected a text');
    if (group.includes('/')) this.#fail(`${path}.group`, 'a group has no version');
    const resources = this.strings(object, path, 'resources');
    const resourceNames = this.strings(object, path, 'resourceNames');
    if (resourceNames.length > 0 && resources.length === 0) {
      this.#fail(`${path}.resourceNames`, 'using resourceNames requires at least one resource');
    }
    return { group, resources, resourceNames };
  }

  #urls(rule: JsonObject, path: string, hasResources: boolean): readonly string[] {
    const urls = this.strings(rule, path, 'nonResourceURLs');
    if (urls.length > 0 && hasResources) {
      this.#fail(`${path}.nonResourceURLs`, 'rules cannot apply to both regular resources and non-resource URLs');
    }
    for (const url of urls) {
      if (url === '*') continue;
      if (!url.startsWith('/')) this.#fail(`${path}.nonResourceURLs`, `"${url}" must begin with a '/'`);
      if (url.slice(0, -1).includes('*')) {
        this.#fail(`${path}.nonResourceURLs`, `"${url}": a wildcard may only stand at the end`);
      }
    }
    return urls;
  }
}

const join = (path: string, field: string) => (path === '' ? field : `${path}.${field}`);

function matches(rule: Rule, { user, info }: Parameters<AuditPolicy>[0]): boolean {
  if (rule.users.length > 0 && !rule.users.includes(user.name)) return false;
  if (rule.userGroups.length > 0 && !rule.userGroups.some((group) => user.groups.includes(group))) return false;
  if (rule.verbs.length > 0 && !rule.verbs.includes(info.verb)) return false;
  if (rule.namespaces.length > 0 || rule.resources.length > 0) return matchesResource(rule, info);
  if (rule.nonResourceURLs.length > 0) return matchesUrl(rule, info);
  return true;
}

function matchesResource({ namespaces, resources }: Rule, info: RequestInfo): boolean {
  if (!info.isResourceRequest) return false;
  // The empty string stands for what is in no namespace.
  if (namespaces.length > 0 && !namespaces.includes(info.namespace)) return false;
  if (resources.length === 0) return true;
  const { resource, subresource, name } = info;
  const combined = subresource === '' ? resource : `${resource}/${subresource}`;
  return resources.some((one) => {
    if (one.group !== info.group) return false;
    if (one.resources.length === 0) return true;
    if (one.resourceNames.length > 0 && !one.resourceNames.includes(name)) return false;
    return one.resources.some(
      (wanted) =>
        wanted === '*' ||
        wanted === combined ||
        (subresource !== '' && (wanted === `${resource}/*` || wanted === `*/${subresource}`)),
    );
  });
}

function matchesUrl({ nonResourceURLs }: Rule, { isResourceRequest, path }: RequestInfo): boolean {
  if (isResourceRequest) return false;
  return nonResourceURLs.some(
    (url) => url === '*' || url === path || (url.endsWith('*') && path.startsWith(url.slice(0, -1))),
  );
}

const READ_VERBS: ReadonlySet<string> = new Set(['get', 'list', 'watch', 'head', 'options']);
const METADATA: AuditDecision = {
  level: 'Metadata',
  omitStages: new Set(['RequestReceived', 'ResponseStarted']),
  omitManagedFields: true,
};

/**
 * The policy where none is configured. What is worth wearing out an SD card for: who changed what (who was refused is always written).
 * Not: reads, heartbeats, events, and questions (access and token reviews), which change nothing.
 */
export const defaultAuditPolicy: AuditPolicy = ({ info, user }) => {
  if (READ_VERBS.has(info.verb) || !info.isResourceRequest) return NONE;
  if (info.resource === 'events') return NONE;
  if (info.group === 'authorization.k8s.io' || info.group === 'authentication.k8s.io') return NONE;
  const isComponent = user.name.startsWith('system:');
  if (isComponent && info.resource === 'leases') return NONE;
  return isComponent && info.resource === 'nodes' && info.subresource === 'status' ? NONE : METADATA;
};

/** The default policy writes refusals of requests that it would pass over; a configured one is taken at its word. */
export const REFUSAL: AuditDecision = METADATA;
