import type { GroupVersionKind } from '#api/object/group-version.ts';
import { apiVersionOf } from '#api/object/group-version.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { compileExpression } from '../../cel/compile.ts';
import { tableType } from '../../cel/types/table-type.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import type { NamedRule } from './match-resources.ts';
import { PolicyCompiler } from './policy-environment.ts';
import type { PolicySpec } from './policy-index.ts';

/** So many kinds are looked at for one policy. */
const MAX_KINDS = 10;

export interface CheckedSpec extends PolicySpec {
  readonly validations?: readonly { readonly expression: string; readonly messageExpression?: string }[];
}

export interface ExpressionWarning {
  readonly fieldRef: string;
  readonly warning: string;
}

/** A kind that the policy names, and its type. */
export interface KnownKind {
  readonly gvk: GroupVersionKind;
  readonly type: TypeDef;
}

/** The kinds that the rules name without wildcards, in order of group, version and kind. */
export function kindsToCheck(
  rules: readonly NamedRule[],
  definitions: readonly ResourceDefinition[],
): readonly ResourceDefinition[] {
  const found = new Set<ResourceDefinition>();
  const isOpen = (names: readonly string[] = []) => names.some((name) => name.includes('*'));
  for (const { apiGroups, apiVersions, resources } of rules) {
    if (isOpen(apiGroups) || isOpen(apiVersions)) continue;
    for (const definition of definitions) {
      const { group, version, resource } = definition;
      // Wildcards and subresources name no kind whose schema is known.
      if (apiGroups?.includes(group) && apiVersions?.includes(version) && resources?.includes(resource)) {
        found.add(definition);
      }
    }
  }
  const key = ({ group, version, kind }: ResourceDefinition) => [group, version, kind].join('\0');
  return [...found].sort((a, b) => (key(a) < key(b) ? -1 : 1)).slice(0, MAX_KINDS);
}

/**
 * What is wrong with a policy's expressions when the objects have these types. Only told, never enforced: the rules may mean kinds that
 * come later. Pure.
 */
export function checkTypes(
  spec: CheckedSpec,
  kinds: readonly KnownKind[],
  params: TypeDef | undefined,
): ExpressionWarning[] {
  const compilers = kinds.map((known) => ({ known, compiler: compilerFor(spec, known, params) }));
  const check = (fieldRef: string, source: string | undefined): ExpressionWarning[] => {
    if (!source) return [];
    const warnings = compilers.flatMap(({ known, compiler }) => {
      const result = compileExpression(source, compiler.environment(params !== undefined));
      return result.ok ? [] : [`${showKind(known.gvk)}: ${result.message}\n`];
    });
    return warnings.length === 0 ? [] : [{ fieldRef, warning: warnings.join('\n') }];
  };
  return (spec.validations ?? []).flatMap(({ expression, messageExpression }, index) => [
    ...check(`spec.validations[${index}].expression`, expression),
    ...check(`spec.validations[${index}].messageExpression`, messageExpression),
  ]);
}

const showKind = (gvk: GroupVersionKind): string => `${apiVersionOf(gvk)}, Kind=${gvk.kind}`;

function compilerFor(spec: CheckedSpec, { type }: KnownKind, params: TypeDef | undefined): PolicyCompiler {
  const compiler = new PolicyCompiler({
    object: tableType(type),
    ...(params === undefined ? {} : { params: tableType(params) }),
  });
  for (const { name, expression } of spec.variables ?? []) {
    const result = compiler.compile({
      expression,
      role: 'variable',
      hasParams: params !== undefined,
      hasAuthorizer: true,
    });
    compiler.define(name, result.ok ? result.compiled.resultType : undefined);
  }
  return compiler;
}
