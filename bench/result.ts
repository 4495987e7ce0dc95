/** One measured figure, and what it is held against. */
export interface Result {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** The design's goal in the same unit, and which side of it is good. */
  readonly goal?: { readonly value: number; readonly better: 'higher' | 'lower' };
  /** What the bare machine does without us, measured in the same run. */
  readonly floor?: number;
  readonly note?: string;
}

export function meetsGoal({ value, goal }: Result): boolean | undefined {
  if (goal === undefined) return undefined;
  return goal.better === 'higher' ? value >= goal.value : value <= goal.value;
}

export function renderTable(results: readonly Result[]): string {
  const rows = results.map((result) => {
    const met = meetsGoal(result);
    return [
      result.name,
      `${format(result.value)} ${result.unit}`,
      result.floor === undefined ? '' : `${format(result.floor)} ${result.unit}`,
      result.goal === undefined ? '' : `${result.goal.better === 'higher' ? '>=' : '<='} ${format(result.goal.value)}`,
      met === undefined ? '' : met ? 'met' : 'MISSED',
      result.note ?? '',
    ];
  });
  const table = [['what', 'measured', 'bare machine', 'goal', '', ''], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

const format = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value >= 10 ? 1 : 2);

/** `q` in [0, 1]. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN;
}
