import { deepEqual } from '#api/object/deep-equal.ts';
import { approvalCondition } from './api-approval.ts';
import {
  type CrdCondition,
  type CrdNames,
  type CrdStatus,
  type CustomResourceDefinition,
  isConditionTrue,
  withCondition,
} from './custom-resource-definition.ts';
import { structuralErrors } from './validate-structural.ts';

/**
 * The status that a definition should have beside the others of its group: the names that it may call its own, and whether it is
 * established. Pure; equal to the present status where nothing is to be done.
 */
export function computeCrdStatus(
  crd: CustomResourceDefinition,
  others: readonly CustomResourceDefinition[],
  nowTime: string,
): CrdStatus {
  const status = crd.status ?? {};
  const { names, problem } = acceptNames(crd, others);
  const accepted: CrdCondition =
    problem === undefined
      ? { type: 'NamesAccepted', status: 'True', reason: 'NoConflicts', message: 'no conflicts found' }
      : { type: 'NamesAccepted', status: 'False', ...problem };
  let conditions: readonly CrdCondition[] = withCondition(status.conditions ?? [], accepted, nowTime);
  if (!isConditionTrue(crd, 'Established')) {
    conditions = withCondition(conditions, establishedCondition(problem === undefined), nowTime);
  }
  const schemaProblem = schemaCondition(crd);
  conditions =
    schemaProblem === undefined
      ? conditions.filter(({ type }) => type !== 'NonStructuralSchema')
      : withCondition(conditions, schemaProblem, nowTime);
  const approval = approvalCondition(crd);
  if (approval !== undefined) conditions = withCondition(conditions, approval, nowTime);
  const { generation } = crd.metadata;
  return {
    ...status,
    acceptedNames: names,
    conditions: [...conditions],
    ...(generation === undefined ? {} : { observedGeneration: generation }),
  };
}

function establishedCondition(isAccepted: boolean): CrdCondition {
  return isAccepted
    ? {
        type: 'Established',
        status: 'True',
        reason: 'InitialNamesAccepted',
        message: 'the initial names have been accepted',
      }
    : { type: 'Established', status: 'False', reason: 'NotAccepted', message: 'not all names are accepted' };
}

interface Acceptance {
  readonly names: Partial<CrdNames>;
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
}

/** Each name is taken over unless another definition of the group has it already; the last conflict is told. */
function acceptNames(crd: CustomResourceDefinition, others: readonly CustomResourceDefinition[]): Acceptance {
  const { names: wished, group } = crd.spec;
  const held = crd.status?.acceptedNames ?? {};
  const { resources, kinds } = takenNames(others.filter((other) => other.spec.group === group));
  const names: Partial<CrdNames> = { ...held };
  let problem: Acceptance['problem'];
  const claim = (field: 'plural' | 'singular' | 'kind' | 'listKind', taken: ReadonlySet<string>, reason: string) => {
    const name = wished[field] ?? '';
    if (name !== (held[field] ?? '') && taken.has(name)) problem = { reason, message: inUse(name) };
    else names[field] = name;
  };
  claim('plural', resources, 'PluralConflict');
  claim('singular', resources, 'SingularConflict');
  if (!deepEqual(wished.shortNames ?? [], held.shortNames ?? [])) {
    const conflicts = (wished.shortNames ?? []).filter(
      (name) => held.shortNames?.includes(name) !== true && resources.has(name),
    );
    if (conflicts.length > 0) {
      const lines = conflicts.map(inUse);
      problem = { reason: 'ShortNamesConflict', message: lines.length === 1 ? lines[0]! : `[${lines.join(', ')}]` };
    } else if (wished.shortNames === undefined) delete names.shortNames;
    else names.shortNames = wished.shortNames;
  }
  claim('kind', kinds, 'KindConflict');
  claim('listKind', kinds, 'ListKindConflict');
  if (wished.categories === undefined) delete names.categories;
  else names.categories = wished.categories;
  return { names, problem };
}

const inUse = (name: string) => `${JSON.stringify(name)} is already in use`;

function takenNames(crds: readonly CustomResourceDefinition[]): { resources: Set<string>; kinds: Set<string> } {
  const resources = new Set<string>();
  const kinds = new Set<string>();
  for (const { status } of crds) {
    const { plural, singular, shortNames = [], kind, listKind } = status?.acceptedNames ?? {};
    for (const name of [plural, singular, ...shortNames]) if (name) resources.add(name);
    for (const name of [kind, listKind]) if (name) kinds.add(name);
  }
  return { resources, kinds };
}

/** Definitions written by older servers may hold schemas that are not structural. */
function schemaCondition(crd: CustomResourceDefinition): CrdCondition | undefined {
  const errors = crd.spec.versions.flatMap(({ schema }, i) =>
    schema?.openAPIV3Schema === undefined
      ? []
      : structuralErrors(schema.openAPIV3Schema, `spec.versions[${i}].schema.openAPIV3Schema`),
  );
  if (errors.length === 0) return undefined;
  const lines = errors.map(({ field, message }) => `${field}: ${message}`);
  const message = lines.length === 1 ? lines[0]! : `[${lines.join(', ')}]`;
  return { type: 'NonStructuralSchema', status: 'True', reason: 'Violations', message };
}
