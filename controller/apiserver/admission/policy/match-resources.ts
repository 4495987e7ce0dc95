import { type LabelSelector, type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { Store } from '../../../store/store.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { matchesRule, type WebhookRule } from '../../webhooks/rule-matcher.ts';
import { equivalentsOf, ruleTarget } from '../../webhooks/webhook-configurations.ts';
import { matchesNamespace, matchesObject } from '../../webhooks/webhook-dispatch.ts';
import type { AdmissionRequest, AdmissionTarget } from '../admission-plugin.ts';

/** A rule that may name the objects it means. */
export interface NamedRule extends WebhookRule {
  readonly resourceNames?: readonly string[];
}

/** `matchConstraints` of a policy, `matchResources` of a binding, as they are stored. */
export interface StoredMatchResources {
  readonly namespaceSelector?: LabelSelectorObject;
  readonly objectSelector?: LabelSelectorObject;
  readonly resourceRules?: readonly NamedRule[];
  readonly excludeResourceRules?: readonly NamedRule[];
  readonly matchPolicy?: string;
}

export interface MatchResources {
  readonly namespaceSelector: LabelSelector;
  readonly objectSelector: LabelSelector;
  readonly rules: readonly NamedRule[];
  readonly excluded: readonly NamedRule[];
  readonly matchEquivalent: boolean;
}

export function readMatchResources(stored: StoredMatchResources): MatchResources {
  return {
    namespaceSelector: labelSelectorFrom(stored.namespaceSelector ?? {}),
    objectSelector: labelSelectorFrom(stored.objectSelector ?? {}),
    rules: stored.resourceRules ?? [],
    excluded: stored.excludeResourceRules ?? [],
    matchEquivalent: stored.matchPolicy !== 'Exact',
  };
}

function findMatch(
  rules: readonly NamedRule[],
  target: AdmissionTarget,
  matchEquivalent: boolean,
): ResourceDefinition | undefined {
  const named = rules.filter(
    ({ resourceNames = [] }) => resourceNames.length === 0 || resourceNames.includes(target.name),
  );
  const { resource } = target;
  if (named.some((rule) => matchesRule(rule, ruleTarget(target, resource)))) return resource;
  if (!matchEquivalent || named.length === 0) return undefined;
  const equivalents = equivalentsOf(target);
  for (const rule of named) {
    const found = equivalents.find((other) => matchesRule(rule, ruleTarget(target, other)));
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The kind as which the rules mean the request, undefined when they do not. No rules at all mean everything. Looks at the request's
 * address alone, so that it can be asked before the objects are known.
 */
export function matchesRules(match: MatchResources, target: AdmissionTarget): ResourceDefinition | undefined {
  if (findMatch(match.excluded, target, match.matchEquivalent) !== undefined) return undefined;
  if (match.rules.length === 0) return target.resource;
  return findMatch(match.rules, target, match.matchEquivalent);
}

/** The rest: labels of the namespace and of the objects. Throws ApiError when the namespace cannot be found. */
export function matchesSelectors(
  store: Pick<Store, 'snapshot'>,
  match: MatchResources,
  request: AdmissionRequest,
): boolean {
  return matchesNamespace(store, match, request) && matchesObject(match, request);
}
