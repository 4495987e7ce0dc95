import type { LabelSelectorObject } from '#api/meta/label-selector.ts';
import { type FieldError, forbiddenField, invalid } from '#api/object/field-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import { validateQualifiedName } from '../validation/format.ts';

/** A selector of other pods that takes some of its values from the labels of the pod itself. */
interface KeyedSelector {
  labelSelector?: LabelSelectorObject;
  readonly matchLabelKeys?: readonly string[];
  readonly mismatchLabelKeys?: readonly string[];
}

/** Writes the pod's own values into the selector: everything that reads it later needs to know nothing of these keys. */
function mergeKeys(term: KeyedSelector, labels: Readonly<Record<string, string>>): void {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  if (labelSelector === undefined) return;
  const requirement = (operator: string) => (key: string) =>
    Object.hasOwn(labels, key) ? [{ key, operator, values: [labels[key] as string] }] : [];
  const own = [...matchLabelKeys.flatMap(requirement('In')), ...mismatchLabelKeys.flatMap(requirement('NotIn'))];
  if (own.length === 0) return;
  const matchExpressions = [...(labelSelector.matchExpressions ?? []), ...own];
  term.labelSelector = { ...labelSelector, matchExpressions };
}

/** At creation alone: the labels of that moment count. */
export function mergeLabelKeys({ metadata, spec }: Pod): void {
  const labels = metadata.labels ?? {};
  for (const constraint of spec?.topologySpreadConstraints ?? []) mergeKeys(constraint as KeyedSelector, labels);
  for (const affinity of [spec?.affinity?.podAffinity, spec?.affinity?.podAntiAffinity]) {
    for (const term of affinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []) {
      mergeKeys(term as KeyedSelector, labels);
    }
    for (const { podAffinityTerm } of affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []) {
      // Validation, which asks for the term, comes later.
      if (podAffinityTerm !== undefined) mergeKeys(podAffinityTerm as KeyedSelector, labels);
    }
  }
}

/** True once the keys are part of the selector, as in every stored pod. */
function isMerged(key: string, operator: string, { matchExpressions = [] }: LabelSelectorObject): boolean {
  return matchExpressions.some((one) => one.key === key && one.operator === operator && one.values?.length === 1);
}

export function validateLabelKeys(term: KeyedSelector, path: string): FieldError[] {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = term;
  const lists = { matchLabelKeys, mismatchLabelKeys };
  const errors = Object.entries(lists).flatMap(([field, keys]) => {
    if (keys.length > 0 && labelSelector === undefined) {
      return [forbiddenField(`${path}.${field}`, 'must not be specified when labelSelector is not set')];
    }
    return keys.flatMap((key, i) => validateQualifiedName(key, `${path}.${field}[${i}]`));
  });
  const both = matchLabelKeys.flatMap((key, i) =>
    mismatchLabelKeys.includes(key)
      ? [invalid(`${path}.matchLabelKeys[${i}]`, key, 'exists in both matchLabelKeys and mismatchLabelKeys')]
      : [],
  );
  const doubled = matchLabelKeys.flatMap((key, i) => {
    const selector = labelSelector ?? {};
    const isNamed =
      Object.hasOwn(selector.matchLabels ?? {}, key) ||
      (selector.matchExpressions ?? []).some((one) => one.key === key);
    return isNamed && !isMerged(key, 'In', selector)
      ? [invalid(`${path}.matchLabelKeys[${i}]`, key, 'exists in both matchLabelKeys and labelSelector')]
      : [];
  });
  return [...errors, ...both, ...doubled];
}
