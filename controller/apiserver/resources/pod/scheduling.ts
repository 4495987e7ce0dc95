import { duplicate, type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import {
  validateDnsLabel,
  validateLabelValue,
  validateOptionalOneOf,
  validateQualifiedName,
} from '../validation/format.ts';
import { validateLabelSelector, validateLabels, validateRequirement } from '../validation/label-selector.ts';
import { validateLabelKeys } from './label-keys.ts';
import type { PodSpec } from './pod-types.ts';

type Toleration = NonNullable<PodSpec['tolerations']>[number];
type Affinity = NonNullable<PodSpec['affinity']>;
type NodeAffinity = NonNullable<Affinity['nodeAffinity']>;
type NodeSelectorTerm = NonNullable<
  NodeAffinity['requiredDuringSchedulingIgnoredDuringExecution']
>['nodeSelectorTerms'][number];
type NodeRequirement = NonNullable<NodeSelectorTerm['matchExpressions']>[number];
type PodAffinity = NonNullable<Affinity['podAffinity']>;
type PodAffinityTerm = NonNullable<PodAffinity['requiredDuringSchedulingIgnoredDuringExecution']>[number];
type SpreadConstraint = NonNullable<PodSpec['topologySpreadConstraints']>[number];

const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];
const NODE_POLICIES = ['Honor', 'Ignore'];
const WEIGHTS = { from: 1, to: 100 };

function validateTolerationValue(toleration: Toleration, path: string): FieldError[] {
  switch (toleration.operator as string | undefined) {
    case undefined:
    case '':
    case 'Equal':
      return toleration.value ? validateLabelValue(toleration.value, `${path}.operator`) : [];
    case 'Exists':
      return toleration.value
        ? [invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'")]
        : [];
    case 'Lt':
    case 'Gt':
      return /^-?\d+$/.test(toleration.value ?? '')
        ? []
        : [invalid(`${path}.value`, toleration.value ?? '', 'must be a valid integer for numeric operators')];
    default:
      return [notSupported(`${path}.operator`, toleration.operator, ['Equal', 'Exists'])];
  }
}

export function validateTolerations(tolerations: readonly Toleration[] | undefined, path: string): FieldError[] {
  return (tolerations ?? []).flatMap((toleration, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    const { key, operator, effect, tolerationSeconds } = toleration;
    if (key) errors.push(...validateQualifiedName(key, `${at}.key`));
    else if (operator !== 'Exists') {
      errors.push(
        invalid(
          `${at}.operator`,
          operator ?? '',
          'operator must be Exists when `key` is empty, which means "match all values and all keys"',
        ),
      );
    }
    if (tolerationSeconds !== undefined && effect !== 'NoExecute') {
      errors.push(invalid(`${at}.effect`, effect ?? '', "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    errors.push(...validateTolerationValue(toleration, at));
    if (effect && !EFFECTS.includes(effect)) errors.push(notSupported(`${at}.effect`, effect, EFFECTS));
    return errors;
  });
}

/** Nodes can be selected by one field alone, their name, and by one value of it. */
function validateFieldRequirement({ key, operator, values = [] }: NodeRequirement, path: string): FieldError[] {
  if (key !== 'metadata.name') return [invalid(`${path}.key`, key ?? '', 'not a valid field selector key')];
  if (operator !== 'In' && operator !== 'NotIn') {
    return [invalid(`${path}.operator`, operator ?? '', 'not a valid selector operator')];
  }
  return values.length === 1
    ? []
    : [required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector")];
}

function validateNodeTerm(term: NodeSelectorTerm, path: string, isHard: boolean): FieldError[] {
  const rules = { allowsOrder: true, checksValues: isHard };
  return [
    ...(term.matchExpressions ?? []).flatMap((r, i) => validateRequirement(r, `${path}.matchExpressions[${i}]`, rules)),
    ...(term.matchFields ?? []).flatMap((r, i) => validateFieldRequirement(r, `${path}.matchFields[${i}]`)),
  ];
}

/** A `NodeSelector` as a hard rule: here, and on volumes and devices. */
export function validateNodeSelector(
  selector: { readonly nodeSelectorTerms?: readonly NodeSelectorTerm[] },
  path: string,
): FieldError[] {
  const at = `${path}.nodeSelectorTerms`;
  const terms = selector.nodeSelectorTerms ?? [];
  const errors = terms.length === 0 ? [required(at, 'must have at least one node selector term')] : [];
  return [...errors, ...terms.flatMap((term, i) => validateNodeTerm(term, `${at}[${i}]`, true))];
}

function validateNodeAffinity(affinity: NodeAffinity, path: string): FieldError[] {
  const hard = affinity.requiredDuringSchedulingIgnoredDuringExecution;
  const soft = affinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const errors: FieldError[] = [];
  if (hard !== undefined) {
    errors.push(...validateNodeSelector(hard, `${path}.requiredDuringSchedulingIgnoredDuringExecution`));
  }
  for (const [i, { weight, preference }] of soft.entries()) {
    const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
    if (!(weight >= WEIGHTS.from && weight <= WEIGHTS.to)) {
      errors.push(invalid(`${at}.weight`, weight ?? 0, 'must be in the range 1-100'));
    }
    errors.push(...validateNodeTerm(preference ?? {}, `${at}.preference`, false));
  }
  return errors;
}

function validatePodTerm(term: PodAffinityTerm, path: string): FieldError[] {
  const errors = [
    ...validateLabelSelector(term.labelSelector, `${path}.labelSelector`),
    ...validateLabelSelector(term.namespaceSelector, `${path}.namespaceSelector`),
    ...(term.namespaces ?? []).flatMap((name) => validateDnsLabel(name, `${path}.namespace`)),
  ];
  if (!term.topologyKey) errors.push(required(`${path}.topologyKey`, 'can not be empty'));
  errors.push(...validateQualifiedName(term.topologyKey ?? '', `${path}.topologyKey`));
  return [...errors, ...validateLabelKeys(term, path)];
}

function validatePodAffinity(affinity: PodAffinity, path: string): FieldError[] {
  const hard = affinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  const soft = affinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  return [
    ...hard.flatMap((term, i) => validatePodTerm(term, `${path}.requiredDuringSchedulingIgnoredDuringExecution[${i}]`)),
    ...soft.flatMap(({ weight, podAffinityTerm }, i) => {
      const at = `${path}.preferredDuringSchedulingIgnoredDuringExecution[${i}]`;
      const outOfRange = !(weight >= WEIGHTS.from && weight <= WEIGHTS.to);
      return [
        ...(outOfRange ? [invalid(`${at}.weight`, weight ?? 0, 'must be in the range 1-100')] : []),
        ...validatePodTerm(podAffinityTerm ?? ({} as PodAffinityTerm), `${at}.podAffinityTerm`),
      ];
    }),
  ];
}

function validateSpread(constraints: readonly SpreadConstraint[] | undefined, path: string): FieldError[] {
  const seen = new Set<string>();
  return (constraints ?? []).flatMap((constraint, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    const { maxSkew = 0, topologyKey, whenUnsatisfiable, minDomains } = constraint;
    if (maxSkew <= 0) errors.push(invalid(`${at}.maxSkew`, maxSkew, 'must be greater than zero'));
    if (!topologyKey) errors.push(required(`${at}.topologyKey`, 'can not be empty'));
    else errors.push(...validateQualifiedName(topologyKey, `${at}.topologyKey`));
    if (!['DoNotSchedule', 'ScheduleAnyway'].includes(whenUnsatisfiable)) {
      errors.push(
        notSupported(`${at}.whenUnsatisfiable`, whenUnsatisfiable ?? '', ['DoNotSchedule', 'ScheduleAnyway']),
      );
    }
    const identity = `{${topologyKey}, ${whenUnsatisfiable}}`;
    if (seen.has(identity)) {
      errors.push({
        type: 'FieldValueDuplicate',
        field: `${at}.{topologyKey, whenUnsatisfiable}`,
        message: `Duplicate value: ${JSON.stringify(identity)}`,
      });
    }
    seen.add(identity);
    if (minDomains !== undefined) {
      if (minDomains <= 0) errors.push(invalid(`${at}.minDomains`, minDomains, 'must be greater than zero'));
      if (whenUnsatisfiable !== 'DoNotSchedule') {
        errors.push(
          invalid(
            `${at}.minDomains`,
            minDomains,
            `can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ${whenUnsatisfiable}`,
          ),
        );
      }
    }
    return [
      ...errors,
      ...validateOptionalOneOf(constraint.nodeAffinityPolicy, NODE_POLICIES, `${at}.nodeAffinityPolicy`),
      ...validateOptionalOneOf(constraint.nodeTaintsPolicy, NODE_POLICIES, `${at}.nodeTaintsPolicy`),
      ...validateLabelKeys(constraint, at),
      ...validateLabelSelector(constraint.labelSelector, `${at}.labelSelector`),
    ];
  });
}

function validateGates(gates: PodSpec['schedulingGates'], path: string): FieldError[] {
  const names = new Set<string>();
  return (gates ?? []).flatMap(({ name = '' }, i) => {
    const errors = validateQualifiedName(name, `${path}[${i}]`);
    if (names.has(name)) errors.push(duplicate(`${path}[${i}]`, name));
    names.add(name);
    return errors;
  });
}

/** Everything that says where a pod may run. */
export function validateScheduling(spec: PodSpec, path: string): FieldError[] {
  const { nodeAffinity, podAffinity, podAntiAffinity } = spec.affinity ?? {};
  return [
    ...validateLabels(spec.nodeSelector, `${path}.nodeSelector`),
    ...validateTolerations(spec.tolerations, `${path}.tolerations`),
    ...(nodeAffinity === undefined ? [] : validateNodeAffinity(nodeAffinity, `${path}.affinity.nodeAffinity`)),
    ...(podAffinity === undefined ? [] : validatePodAffinity(podAffinity, `${path}.affinity.podAffinity`)),
    ...(podAntiAffinity === undefined ? [] : validatePodAffinity(podAntiAffinity, `${path}.affinity.podAntiAffinity`)),
    ...validateSpread(spec.topologySpreadConstraints, `${path}.topologySpreadConstraints`),
    ...validateGates(spec.schedulingGates, `${path}.schedulingGates`),
  ];
}
