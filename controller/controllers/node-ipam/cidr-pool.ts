import { addressAt, type IpFamily, type IpRange, parseCidr } from '#api/meta/ip-address.ts';

/** The address blocks of one pod network, handed out to nodes. Which are taken is learnt from the nodes themselves after a restart. */
export interface CidrPool {
  readonly family: IpFamily;
  /** The next free block, or undefined when none is left. It counts as taken from now on. */
  allocate(): string | undefined;
  /** False for a block that is not of this pool or that someone has already. */
  occupy(block: string): boolean;
  release(block: string): void;
  contains(block: string): boolean;
}

class BlockPool implements CidrPool {
  readonly family: IpFamily;
  readonly #network: IpRange;
  readonly #nodeMaskSize: number;
  readonly #count: number;
  /** Addresses per block. */
  readonly #blockSize: bigint;
  readonly #taken = new Set<number>();
  /** Where the search goes on, so that a block is not reused the moment it is freed: routes and caches still point there. */
  #next = 0;

  constructor(cidr: string, nodeMaskSize: number) {
    const network = parseCidr(cidr);
    if (network === undefined) throw new Error(`"${cidr}" is not a CIDR`);
    const { family, prefixLength, size } = network;
    const bits = family === 'IPv4' ? 32 : 128;
    if (nodeMaskSize < prefixLength || nodeMaskSize > bits)
      throw new Error(`node mask size ${nodeMaskSize} does not fit into ${cidr}`);
    this.family = family;
    this.#network = network;
    this.#nodeMaskSize = nodeMaskSize;
    this.#blockSize = size >> BigInt(nodeMaskSize - prefixLength);
    // More than 2^16 blocks are never needed and a bitmap of them is still small.
    this.#count = 2 ** Math.min(nodeMaskSize - prefixLength, 16);
  }

  allocate(): string | undefined {
    for (let tries = 0; tries < this.#count; tries++) {
      const index = (this.#next + tries) % this.#count;
      if (this.#taken.has(index)) continue;
      this.#taken.add(index);
      this.#next = (index + 1) % this.#count;
      return this.#render(index);
    }
    return undefined;
  }

  occupy(block: string): boolean {
    const index = this.#indexOf(block);
    if (index === undefined || this.#taken.has(index)) return false;
    this.#taken.add(index);
    return true;
  }

  release(block: string): void {
    const index = this.#indexOf(block);
    if (index !== undefined) this.#taken.delete(index);
  }

  contains(block: string): boolean {
    return this.#indexOf(block) !== undefined;
  }

  #render(index: number): string {
    return `${addressAt(this.#network, BigInt(index) * this.#blockSize)}/${this.#nodeMaskSize}`;
  }

  #indexOf(text: string): number | undefined {
    const block = parseCidr(text);
    if (block?.family !== this.family || block.prefixLength !== this.#nodeMaskSize) return undefined;
    const index = (block.base - this.#network.base) / this.#blockSize;
    return block.base >= this.#network.base && index < BigInt(this.#count) ? Number(index) : undefined;
  }
}

/** Throws for a malformed CIDR or mask. */
export function createCidrPool(cidr: string, nodeMaskSize: number): CidrPool {
  return new BlockPool(cidr, nodeMaskSize);
}
