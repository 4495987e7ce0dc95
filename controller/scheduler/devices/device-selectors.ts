import type { IDevice } from 'kubernetes-models/resource.k8s.io/v1/Device';
import type { IDeviceSelector } from 'kubernetes-models/resource.k8s.io/v1/DeviceSelector';
import { describeError } from '#base/errors.ts';
import type { PoolDevice } from './device-pools.ts';

export type DeviceSelection =
  | { readonly ok: true; readonly matches: (device: { driver: string; device: IDevice }) => boolean }
  | { readonly ok: false; readonly message: string };

/** The language of selectors is the API server's business: whoever puts the process together hands it in. */
export type CompileDeviceSelector = (expression: string) => DeviceSelection;

/** A class or a claim holds an expression that cannot be evaluated; the message is Kubernetes'. */
export class DeviceSelectorError extends Error {
  override readonly name = 'DeviceSelectorError';
}

interface Compiled {
  readonly selection: DeviceSelection;
  /** What it said of devices. They are objects of a cache: one that changes is another object. */
  readonly verdicts: WeakMap<IDevice, boolean | Error>;
}

/** Expressions that are kept compiled; the one that was not used for the longest goes. */
const MAX_COMPILED = 200;

/** Evaluates selectors, each once per device. */
export class DeviceSelectors {
  readonly #compile: CompileDeviceSelector;
  readonly #compiled = new Map<string, Compiled>();

  constructor(compile: CompileDeviceSelector) {
    this.#compile = compile;
  }

  /** `owner` is how errors call whose selectors they are: `class gpu`. Throws DeviceSelectorError. */
  matchAll(owner: string, selectors: readonly IDeviceSelector[] | undefined, candidate: PoolDevice): boolean {
    return (selectors ?? []).every(({ cel }, index) => this.#matches(`${owner}: selector #${index}`, cel, candidate));
  }

  #matches(what: string, cel: IDeviceSelector['cel'], { driver, device }: PoolDevice): boolean {
    const { selection, verdicts } = this.#obtain(cel?.expression ?? '');
    if (!selection.ok) throw new DeviceSelectorError(`${what}: CEL compile error: ${selection.message}`);
    let verdict = verdicts.get(device);
    if (verdict === undefined) {
      try {
        verdict = selection.matches({ driver, device });
      } catch (err) {
        verdict = err instanceof Error ? err : new Error(describeError(err), { cause: err });
      }
      verdicts.set(device, verdict);
    }
    if (verdict instanceof Error)
      throw new DeviceSelectorError(`${what}: CEL runtime error: ${describeError(verdict)}`, { cause: verdict });
    return verdict;
  }

  #obtain(expression: string): Compiled {
    const known = this.#compiled.get(expression);
    this.#compiled.delete(expression);
    const compiled = known ?? { selection: this.#compile(expression), verdicts: new WeakMap() };
    this.#compiled.set(expression, compiled);
    const [oldest] = this.#compiled.keys();
    if (this.#compiled.size > MAX_COMPILED && oldest !== undefined) this.#compiled.delete(oldest);
    return compiled;
  }
}
