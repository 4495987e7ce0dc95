/** The address blocks of one pod network, handed out to nodes. Which are taken is learnt from the nodes themselves after a restart. */
export interface CidrPool {
  readonly family: 'IPv4' | 'IPv6';
  /** The next free block, or undefined when none is left. It counts as taken from now on. */
  allocate(): string | undefined;
  /** False for a block that is not of this pool or that someone has already. */
  occupy(block: string): boolean;
  release(block: string): void;
  contains(block: string): boolean;
}

interface Network {
  readonly address: bigint;
  readonly prefix: number;
  readonly bits: 32 | 128;
}

function parseAddress(text: string): { readonly address: bigint; readonly bits: 32 | 128 } {
  if (!text.includes(':')) {
    const bytes = text.split('.').map(Number);
    if (bytes.length !== 4 || bytes.some((byte) => !(byte >= 0 && byte <= 255)))
      throw new Error(`"${text}" is not an IP address`);
    return { address: bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n), bits: 32 };
  }
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => part.split(':').filter(Boolean);
  const missing = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...Array<string>(missing).fill('0'), ...groups(tail ?? '')];
  if (all.length !== 8) throw new Error(`"${text}" is not an IP address`);
  return { address: all.reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n), bits: 128 };
}

function parseNetwork(cidr: string): Network {
  const [text = '', length = ''] = cidr.split('/');
  const { address, bits } = parseAddress(text);
  const prefix = Number(length);
  if (!Number.isInteger(prefix) || length === '' || prefix < 0 || prefix > bits)
    throw new Error(`"${cidr}" is not a CIDR`);
  return { address, prefix, bits };
}

function renderAddress(address: bigint, bits: 32 | 128): string {
  if (bits === 32) return [24n, 16n, 8n, 0n].map((shift) => (address >> shift) & 0xffn).join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((address >> BigInt(112 - 16 * index)) & 0xffffn).toString(16),
  );
  return compressZeros(groups);
}

/** RFC 5952: the longest run of zero groups, the first of equals, becomes `::`. */
function compressZeros(groups: readonly string[]): string {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return groups.join(':');
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(best.start + best.length).join(':')}`;
}

class BlockPool implements CidrPool {
  readonly family: 'IPv4' | 'IPv6';
  readonly #network: Network;
  readonly #nodeMaskSize: number;
  readonly #count: number;
  readonly #taken = new Set<number>();
  /** Where the search goes on, so that a block is not reused the moment it is freed: routes and caches still point there. */
  #next = 0;

  constructor(cidr: string, nodeMaskSize: number) {
    this.#network = parseNetwork(cidr);
    const { prefix, bits } = this.#network;
    if (nodeMaskSize < prefix || nodeMaskSize > bits)
      throw new Error(`node mask size ${nodeMaskSize} does not fit into ${cidr}`);
    this.#nodeMaskSize = nodeMaskSize;
    // More than 2^16 blocks are never needed and a bitmap of them is still small.
    this.#count = 2 ** Math.min(nodeMaskSize - prefix, 16);
    this.family = bits === 32 ? 'IPv4' : 'IPv6';
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

  #shift(): bigint {
    return BigInt(this.#network.bits - this.#nodeMaskSize);
  }

  #render(index: number): string {
    const address = this.#network.address + (BigInt(index) << this.#shift());
    return `${renderAddress(address, this.#network.bits)}/${this.#nodeMaskSize}`;
  }

  #indexOf(block: string): number | undefined {
    const { address, prefix, bits } = parseNetwork(block);
    if (bits !== this.#network.bits || prefix !== this.#nodeMaskSize || address < this.#network.address)
      return undefined;
    const index = (address - this.#network.address) >> this.#shift();
    return index < BigInt(this.#count) ? Number(index) : undefined;
  }
}

/** Throws for a malformed CIDR or mask. */
export function createCidrPool(cidr: string, nodeMaskSize: number): CidrPool {
  return new BlockPool(cidr, nodeMaskSize);
}
