import type { PoolDevice } from './device-pools.ts';

/** Devices that pass a test, found one after the other as somebody asks for them: mostly the first will do. */
export class Candidates {
  readonly #from: readonly PoolDevice[];
  readonly #test: (device: PoolDevice) => boolean;
  #found: PoolDevice[] = [];
  #next = 0;

  constructor(from: readonly PoolDevice[], test: (device: PoolDevice) => boolean) {
    this.#from = from;
    this.#test = test;
  }

  at(index: number): PoolDevice | undefined {
    while (this.#found.length <= index && this.#next < this.#from.length) {
      const device = this.#from[this.#next++] as PoolDevice;
      if (this.#test(device)) this.#found.push(device);
    }
    return this.#found[index];
  }

  all(): readonly PoolDevice[] {
    this.at(Number.POSITIVE_INFINITY);
    return this.#found;
  }

  narrow(test: (device: PoolDevice) => boolean): void {
    this.#found = this.all().filter(test);
  }
}
