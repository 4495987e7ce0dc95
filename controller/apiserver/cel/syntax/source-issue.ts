/** One thing that is wrong with an expression's source. */
export interface SourceIssue {
  readonly message: string;
  /** UTF-16 offset. */
  readonly offset: number;
}

/** Thrown inside the compiler; what comes out of it is a value (`Compilation`). */
export class SourceError extends Error {
  override readonly name = 'SourceError';
  readonly issue: SourceIssue;

  constructor(message: string, offset: number) {
    super(message);
    this.issue = { message, offset };
  }
}

/** Lines that are longer are not repeated in messages. */
const MAX_SNIPPET = 500;

function renderIssue(source: string, { message, offset }: SourceIssue): string {
  const before = source.slice(0, offset);
  const lineStart = before.lastIndexOf('\n') + 1;
  const line = before.split('\n').length;
  const column = Array.from(before.slice(lineStart)).length;
  const head = `ERROR: <input>:${line}:${column + 1}: ${message}`;
  const lineEnd = source.indexOf('\n', lineStart);
  const text = source.slice(lineStart, lineEnd < 0 ? undefined : lineEnd);
  if (text.length > MAX_SNIPPET) return head;
  return `${head}\n | ${text.replaceAll('\t', ' ')}\n | ${'.'.repeat(column)}^`;
}

/** The text under which users of Kubernetes know these errors: place, message, the line and an arrow. */
export function renderIssues(source: string, issues: readonly SourceIssue[]): string {
  return [...issues]
    .sort((a, b) => a.offset - b.offset)
    .map((issue) => renderIssue(source, issue))
    .join('\n');
}
