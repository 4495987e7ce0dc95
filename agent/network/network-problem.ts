/** What is in the way of pod traffic on this node, in words for whoever has to act. */
export interface NetworkProblem {
  /** CamelCase, as reasons of conditions are. */
  readonly reason: string;
  readonly cause: string;
  readonly cure: string;
  /** Pods run and reach each other, but something that was asked for is missing. */
  readonly isDegraded: boolean;
}

/** The problems that the parts of the network have told, each part its own. */
export class NetworkProblems {
  readonly #bySource = new Map<string, readonly NetworkProblem[]>();
  readonly #onChange: (problems: readonly NetworkProblem[]) => void;

  constructor(onChange: (problems: readonly NetworkProblem[]) => void) {
    this.#onChange = onChange;
  }

  /** Replaces what this part told before. */
  tell(source: string, problems: readonly NetworkProblem[]): void {
    const before = this.#bySource.get(source) ?? [];
    if (JSON.stringify(before) === JSON.stringify(problems)) return;
    this.#bySource.set(source, problems);
    this.#onChange(this.list());
  }

  list(): readonly NetworkProblem[] {
    return [...this.#bySource.values()].flat();
  }
}
