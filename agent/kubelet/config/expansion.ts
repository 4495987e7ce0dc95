/**
 * Kubernetes' `$(NAME)` expansion: unknown names stay as they are, `$$` is one dollar sign (so `$$(NAME)` is the literal `$(NAME)`).
 */
export function expandReferences(text: string, variables: ReadonlyMap<string, string>): string {
  return text.replace(/\$(?:\$|\(([^)]*)\))/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (variables.get(name) ?? whole),
  );
}
