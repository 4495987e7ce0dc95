import type { Node } from '#api/object/kinds.ts';

interface NodeRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}

/** `v1.NodeSelectorTerm`: all of its requirements; a term without any matches nothing. */
export interface NodeSelectorTerm {
  readonly matchExpressions?: readonly NodeRequirement[];
  readonly matchFields?: readonly NodeRequirement[];
}

export type Labels = Readonly<Record<string, string>>;

/** What a term looks at. */
export interface TermSubject {
  readonly name: string;
  readonly labels: Labels;
}

export function subjectOf(node: Node): TermSubject {
  return { name: node.metadata.name, labels: node.metadata.labels ?? {} };
}

export function matchesAnyTerm(terms: readonly NodeSelectorTerm[], node: TermSubject): boolean {
  return terms.some((term) => matchesNodeTerm(term, node));
}

export function matchesNodeTerm(term: NodeSelectorTerm, node: TermSubject): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  return (
    matchExpressions.every((requirement) => satisfies(requirement, labelOf(node.labels, requirement.key))) &&
    matchFields.every((requirement) => requirement.key === 'metadata.name' && satisfies(requirement, node.name))
  );
}

const labelOf = (labels: Labels, key: string): string | undefined =>
  Object.hasOwn(labels, key) ? labels[key] : undefined;

function satisfies({ operator, values = [] }: NodeRequirement, actual: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return actual !== undefined && values.includes(actual);
    case 'NotIn':
      return actual === undefined || !values.includes(actual);
    case 'Exists':
      return actual !== undefined;
    case 'DoesNotExist':
      return actual === undefined;
    case 'Gt':
    case 'Lt':
      return compares(operator, actual, values[0]);
    default:
      return false;
  }
}

const INTEGER = /^[+-]?[0-9]+$/;

function compares(operator: 'Gt' | 'Lt', actual: string | undefined, bound: string | undefined): boolean {
  if (actual === undefined || bound === undefined || !INTEGER.test(actual) || !INTEGER.test(bound)) return false;
  return operator === 'Gt' ? BigInt(actual) > BigInt(bound) : BigInt(actual) < BigInt(bound);
}
