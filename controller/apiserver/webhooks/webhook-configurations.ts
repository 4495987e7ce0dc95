import { type LabelSelector, type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionTarget } from '../admission/admission-plugin.ts';
import { mirrorPrefix, namesOfKey } from '../authorize/store-mirror.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { matchesRule, type RuleTarget, type WebhookRule } from './rule-matcher.ts';
import type { WebhookClientConfig } from './webhook-client.ts';

export interface MatchCondition {
  readonly name: string;
  readonly expression: string;
}

/** One entry of `webhooks` in a configuration, ready to be asked. */
export interface Webhook {
  /** Name of its configuration, its own, and its place there: unique, and stable as long as nobody edits the configuration. */
  readonly uid: string;
  readonly configuration: string;
  readonly name: string;
  readonly clientConfig: WebhookClientConfig;
  readonly rules: readonly WebhookRule[];
  readonly matchEquivalent: boolean;
  readonly ignoresFailure: boolean;
  /** `None` and `NoneOnDryRun` may be asked on a dry run. */
  readonly hasSideEffects: boolean;
  readonly timeoutMs: number;
  readonly reviewVersions: readonly string[];
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
  readonly matchConditions: readonly MatchCondition[];
  /** Of mutating webhooks alone. */
  readonly isReinvocable: boolean;
}

/** A webhook whose rules mean a request, and as which kind it wants to see it. */
export interface Candidate {
  readonly webhook: Webhook;
  readonly as: ResourceDefinition;
}

interface StoredWebhook {
  readonly name: string;
  readonly clientConfig: WebhookClientConfig;
  readonly rules?: readonly WebhookRule[];
  readonly matchPolicy?: string;
  readonly failurePolicy?: string;
  readonly sideEffects?: string;
  readonly timeoutSeconds?: number;
  readonly admissionReviewVersions?: readonly string[];
  readonly namespaceSelector?: LabelSelectorObject;
  readonly objectSelector?: LabelSelectorObject;
  readonly matchConditions?: readonly MatchCondition[];
  readonly reinvocationPolicy?: string;
}

const DEFAULT_TIMEOUT_SECONDS = 10;
const GROUP = 'admissionregistration.k8s.io';
/** Whoever breaks admission must be able to repair it: these are never shown to webhooks, nor judged by policies. */
const EXEMPT: ReadonlySet<string> = new Set([
  'mutatingwebhookconfigurations',
  'validatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);

/** All webhooks of one kind of configuration in the order in which they are asked: by the configuration's name, then by place. */
export class WebhookConfigurations {
  readonly #byName = new Map<string, readonly Webhook[]>();
  #webhooks: readonly Webhook[] = [];
  /** By kind, and there by operation, subresource and scope: rules are matched once, not for every request. */
  #candidates = new WeakMap<ResourceDefinition, Map<string, readonly Candidate[]>>();
  #catalogRevision = -1;
  readonly stop: () => void;

  /** `prefix` is where the configurations lie in the store, with the slash at its end. */
  constructor(store: Store, prefix: string) {
    this.stop = mirrorPrefix(store, prefix, {
      onPut: (stored) => {
        const { name } = namesOfKey(stored.key, prefix);
        this.#byName.set(name, compileConfiguration(name, stored.object() as { webhooks?: readonly StoredWebhook[] }));
        this.#reorder();
      },
      onDelete: ({ key }) => {
        this.#byName.delete(namesOfKey(key, prefix).name);
        this.#reorder();
      },
      onReset: () => {
        this.#byName.clear();
        this.#reorder();
      },
    });
  }

  /** Those whose rules mean this request; selectors and conditions are not looked at yet. */
  candidates(target: AdmissionTarget): readonly Candidate[] {
    if (this.#webhooks.length === 0) return [];
    const { resource, operation, subresource, objects } = target;
    const catalogRevision = objects?.catalog.revision ?? 0;
    if (catalogRevision !== this.#catalogRevision) {
      this.#candidates = new WeakMap();
      this.#catalogRevision = catalogRevision;
    }
    let known = this.#candidates.get(resource);
    if (known === undefined) {
      known = new Map();
      this.#candidates.set(resource, known);
    }
    const key = `${operation} ${target.namespace === '' ? 'c' : 'n'} ${subresource}`;
    let found = known.get(key);
    if (found === undefined) {
      found = findCandidates(this.#webhooks, target);
      known.set(key, found);
    }
    return found;
  }

  #reorder(): void {
    const names = [...this.#byName.keys()].sort((a, b) => (a < b ? -1 : 1));
    this.#webhooks = names.flatMap((name) => this.#byName.get(name) ?? []);
    this.#candidates = new WeakMap();
  }
}

function compileConfiguration(
  configuration: string,
  { webhooks = [] }: { readonly webhooks?: readonly StoredWebhook[] },
): Webhook[] {
  return webhooks.map((stored, index) => ({
    uid: `${configuration}/${stored.name}/${index}`,
    configuration,
    name: stored.name,
    clientConfig: stored.clientConfig,
    rules: stored.rules ?? [],
    matchEquivalent: stored.matchPolicy !== 'Exact',
    ignoresFailure: stored.failurePolicy === 'Ignore',
    hasSideEffects: stored.sideEffects !== 'None' && stored.sideEffects !== 'NoneOnDryRun',
    timeoutMs: (stored.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1000,
    reviewVersions: stored.admissionReviewVersions ?? ['v1'],
    namespaceSelector: labelSelectorFrom(stored.namespaceSelector ?? {}),
    objectSelector: labelSelectorFrom(stored.objectSelector ?? {}),
    matchConditions: stored.matchConditions ?? [],
    isReinvocable: stored.reinvocationPolicy === 'IfNeeded',
  }));
}

/** True for the kinds that say what admission does. */
export const isExemptFromAdmission = ({ group, resource }: ResourceDefinition): boolean =>
  group === GROUP && EXEMPT.has(resource);

function findCandidates(webhooks: readonly Webhook[], target: AdmissionTarget): readonly Candidate[] {
  if (isExemptFromAdmission(target.resource)) return [];
  const equivalents = equivalentsOf(target);
  return webhooks.flatMap((webhook) => {
    const as = matchedKind(webhook, target, equivalents);
    return as === undefined ? [] : [{ webhook, as }];
  });
}

/** Other faces of the same stored objects: versions of a group, cohabiting groups (Events). */
export function equivalentsOf({ resource, objects }: AdmissionTarget): readonly ResourceDefinition[] {
  const all = objects?.catalog.definitions ?? [];
  return all.filter((other) => other !== resource && other.storagePrefix === resource.storagePrefix);
}

/** The request's own kind is preferred; of its equivalents the first that a rule names. */
function matchedKind(
  webhook: Webhook,
  target: AdmissionTarget,
  equivalents: readonly ResourceDefinition[],
): ResourceDefinition | undefined {
  const { resource } = target;
  if (webhook.rules.some((rule) => matchesRule(rule, ruleTarget(target, resource)))) return resource;
  if (!webhook.matchEquivalent) return undefined;
  for (const rule of webhook.rules) {
    const found = equivalents.find((other) => matchesRule(rule, ruleTarget(target, other)));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What rules see of a request when it is taken as one on `as`. */
export function ruleTarget({ operation, subresource, namespace }: AdmissionTarget, as: ResourceDefinition): RuleTarget {
  const { group, version, resource } = as;
  const isNamespace = group === '' && resource === 'namespaces';
  return { operation, subresource, group, version, resource, isNamespaced: namespace !== '' && !isNamespace };
}
