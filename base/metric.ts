/** Prometheus' text format over plain numbers: whoever counts holds on to its series, so that counting is one addition. */

/** A number with labels. */
export interface Series {
  value: number;
}

export type MetricType = 'counter' | 'gauge';

export interface MetricNames {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

const escapeLabel = (value: string): string =>
  value.replace(/[\\"\n]/g, (char) => (char === '\n' ? '\\n' : `\\${char}`));

/** `{a="1",b="2"}`, or '' without labels. */
export function renderLabels(names: readonly string[], values: readonly string[]): string {
  if (names.length === 0) return '';
  return `{${names.map((name, i) => `${name}="${escapeLabel(values[i] ?? '')}"`).join(',')}}`;
}

const header = (name: string, help: string, type: string): string[] => [
  `# HELP ${name} ${help}`,
  `# TYPE ${name} ${type}`,
];

/** Counters or gauges of one name. */
export class Metric {
  readonly #names: MetricNames;
  readonly #type: MetricType;
  readonly #series = new Map<string, Series>();

  constructor(type: MetricType, names: MetricNames) {
    this.#type = type;
    this.#names = names;
  }

  /** The series with these label values, in the order of the names. Keep it: the look-up joins strings. */
  with(...values: readonly string[]): Series {
    const key = renderLabels(this.#names.labels ?? [], values);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { value: 0 };
      this.#series.set(key, series);
    }
    return series;
  }

  /** Nothing at all while there is no series, as client libraries do. */
  render(): string {
    const { name, help } = this.#names;
    if (this.#series.size === 0) return '';
    const lines = header(name, help, this.#type);
    for (const [labels, { value }] of this.#series) lines.push(`${name}${labels} ${value}`);
    return `${lines.join('\n')}\n`;
  }
}

/** One line per sample of a value that is computed when it is asked for. */
export function renderSamples(
  type: MetricType,
  { name, help, labels = [] }: MetricNames,
  samples: Iterable<readonly [values: readonly string[], value: number]>,
): string {
  const lines = header(name, help, type);
  for (const [values, value] of samples) lines.push(`${name}${renderLabels(labels, values)} ${value}`);
  return lines.length === 2 ? '' : `${lines.join('\n')}\n`;
}

/** Observations by upper bound, not cumulative; the last bucket is +Inf. */
export class HistogramSeries {
  readonly bounds: readonly number[];
  readonly buckets: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.buckets = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const { bounds } = this;
    let at = 0;
    while (at < bounds.length && value > bounds[at]!) at++;
    this.buckets[at]!++;
    this.sum += value;
    this.count++;
  }
}

/** Histograms of one name. */
export class Histogram {
  readonly #names: MetricNames;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, { readonly values: readonly string[]; readonly series: HistogramSeries }>();

  constructor(names: MetricNames, bounds: readonly number[]) {
    this.#names = names;
    this.#bounds = bounds;
  }

  with(...values: readonly string[]): HistogramSeries {
    const key = values.join('\0');
    let entry = this.#series.get(key);
    if (entry === undefined) {
      entry = { values, series: new HistogramSeries(this.#bounds) };
      this.#series.set(key, entry);
    }
    return entry.series;
  }

  render(): string {
    const { name, help, labels = [] } = this.#names;
    if (this.#series.size === 0) return '';
    const lines = header(name, help, 'histogram');
    for (const { values, series } of this.#series.values()) {
      lines.push(...renderHistogramSeries(name, renderLabels(labels, values).slice(1, -1), series));
    }
    return `${lines.join('\n')}\n`;
  }
}

/** Lines of one histogram; `labels` is the inside of the braces. */
export function renderHistogramSeries(name: string, labels: string, series: HistogramSeries): string[] {
  const lead = labels === '' ? '' : `${labels},`;
  const braces = labels === '' ? '' : `{${labels}}`;
  let cumulative = 0;
  const lines = series.bounds.map((bound, i) => {
    cumulative += series.buckets[i] ?? 0;
    return `${name}_bucket{${lead}le="${bound}"} ${cumulative}`;
  });
  lines.push(`${name}_bucket{${lead}le="+Inf"} ${series.count}`);
  lines.push(`${name}_sum${braces} ${series.sum}`, `${name}_count${braces} ${series.count}`);
  return lines;
}
