import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';

/**
 * Loads what iptables-restore would load and follows single packets through it, so that proxy tests speak of where traffic goes and not of
 * rule text. Knows the matches and targets that our rules use and throws on any other, so a new one cannot pass untested.
 */

export interface Packet {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'sctp';
  readonly port: number;
  /** Sent by a process of this node (OUTPUT), or received (PREROUTING). */
  readonly fromHost?: boolean;
}

export type Verdict =
  | { readonly kind: 'delivered'; readonly to: string; readonly masqueraded: boolean }
  | { readonly kind: 'rejected' }
  | { readonly kind: 'dropped' };

interface State {
  destination: string;
  port: number;
  mark: number;
}

type Tables = Map<string, Map<string, string[][]>>;
type Outcome = 'accept' | 'drop' | 'reject' | 'return' | 'continue' | 'dnat';

export interface TracerOptions {
  /** Addresses of this node, for addrtype LOCAL. */
  readonly nodeAddresses: readonly string[];
  /** Answers `statistic` matches: true takes the rule. Default: always. */
  readonly chance?: (probability: number) => boolean;
  /** Answers nftables' `numgen random mod count`. Default: 0. */
  readonly pick?: (count: number) => number;
}

export class PacketTracer {
  readonly #tables: Tables = new Map();
  readonly #options: TracerOptions;
  /** Of the `recent` match: list -> source addresses. */
  readonly #recent = new Map<string, Set<string>>();

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  /** Applies restore text as `iptables-restore --noflush` does; throws on what the kernel would refuse. */
  load(text: string): void {
    let table = new Map<string, string[][]>();
    for (const line of text.split('\n')) {
      if (line === '' || line === 'COMMIT' || line.startsWith('#')) continue;
      if (line.startsWith('*')) {
        table = this.#table(line.slice(1));
      } else if (line.startsWith(':')) {
        table.set(line.slice(1).split(' ')[0]!, []);
      } else {
        this.#change(table, tokenize(line));
      }
    }
    this.#checkReferences();
  }

  chains(table: string): string[] {
    return [...this.#table(table).keys()];
  }

  rules(table: string, chain: string): number {
    return this.#table(table).get(chain)?.length ?? 0;
  }

  get ruleCount(): number {
    return [...this.#tables.values()]
      .flatMap((table) => [...table.values()])
      .reduce((sum, rules) => sum + rules.length, 0);
  }

  trace(packet: Packet): Verdict {
    const state: State = { destination: packet.destination, port: packet.port, mark: 0 };
    this.#walk('nat', 'KUBE-SERVICES', packet, state);
    const isLocal = this.#options.nodeAddresses.includes(state.destination);
    const hooks = packet.fromHost
      ? ['KUBE-PROXY-FIREWALL', 'KUBE-SERVICES']
      : isLocal
        ? ['KUBE-PROXY-FIREWALL', 'KUBE-EXTERNAL-SERVICES']
        : ['KUBE-PROXY-FIREWALL', 'KUBE-EXTERNAL-SERVICES', 'KUBE-SERVICES'];
    for (const chain of hooks) {
      const outcome = this.#walk('filter', chain, packet, state);
      if (outcome === 'reject') return { kind: 'rejected' };
      if (outcome === 'drop') return { kind: 'dropped' };
    }
    return { kind: 'delivered', to: `${state.destination}:${state.port}`, masqueraded: (state.mark & 0x4000) !== 0 };
  }

  #table(name: string): Map<string, string[][]> {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = new Map();
      this.#tables.set(name, table);
    }
    return table;
  }

  #change(table: Map<string, string[][]>, [operation, chain, ...rest]: string[]): void {
    const rules = table.get(chain!);
    if (rules === undefined) throw new Error(`no chain ${chain}`);
    if (operation === '-A') rules.push(rest);
    else if (operation === '-I') rules.splice(Number(rest[0]) - 1, 0, rest.slice(1));
    else if (operation === '-X') {
      if (rules.length > 0) throw new Error(`chain ${chain} is not empty`);
      table.delete(chain!);
    } else if (operation === '-D') {
      const index = rules.findIndex((rule) => rule.join(' ') === rest.join(' '));
      if (index < 0) throw new Error(`no such rule in ${chain}: ${rest.join(' ')}`);
      rules.splice(index, 1);
    } else throw new Error(`unknown operation ${operation}`);
  }

  #checkReferences(): void {
    for (const table of this.#tables.values()) {
      for (const [chain, rules] of table) {
        for (const rule of rules) {
          const target = rule[rule.indexOf('-j') + 1]!;
          if (target.startsWith('KUBE-') && !table.has(target)) throw new Error(`${chain} jumps to missing ${target}`);
        }
      }
    }
  }

  #walk(tableName: string, chain: string, packet: Packet, state: State): Outcome {
    const table = this.#table(tableName);
    for (const rule of table.get(chain) ?? []) {
      const target = this.#match(rule, packet, state);
      if (target === undefined) continue;
      const outcome = table.has(target[0]!)
        ? this.#walk(tableName, target[0]!, packet, state)
        : applyTarget(target, state);
      if (outcome === 'return') break;
      if (outcome !== 'continue') return outcome;
    }
    return 'continue';
  }

  /** The rule's target with its arguments when all of its matches hold. */
  #match(rule: readonly string[], packet: Packet, state: State): string[] | undefined {
    let negated = false;
    let list = '';
    for (let i = 0; i < rule.length; i++) {
      const word = rule[i]!;
      const value = rule[i + 1]!;
      let holds = true;
      switch (word) {
        case '!':
          negated = true;
          continue;
        case '-m':
          i += 1;
          continue;
        case '--comment':
        case '--mode':
        case '--ctstate':
        case '--seconds':
          i += 1;
          continue;
        case '--name':
          list = value;
          i += 1;
          continue;
        case '--reap':
          continue;
        case '--set':
          this.#recent.set(list, (this.#recent.get(list) ?? new Set()).add(packet.source));
          continue;
        case '--rcheck':
          holds = this.#recent.get(list)?.has(packet.source) ?? false;
          break;
        case '-s':
          holds = inCidr(packet.source, value);
          i += 1;
          break;
        case '-d':
          holds = inCidr(state.destination, value);
          i += 1;
          break;
        case '-p':
          holds = packet.protocol === value;
          i += 1;
          break;
        case '--dport':
          holds = state.port === Number(value);
          i += 1;
          break;
        case '--src-type':
          holds = this.#options.nodeAddresses.includes(packet.source);
          i += 1;
          break;
        case '--dst-type':
          holds = this.#options.nodeAddresses.includes(state.destination);
          i += 1;
          break;
        case '--probability':
          holds = (this.#options.chance ?? (() => true))(Number(value));
          i += 1;
          break;
        case '-j':
          return rule.slice(i + 1);
        default:
          throw new Error(`packet tracer does not know ${word}`);
      }
      if (holds === negated) return undefined;
      negated = false;
    }
    throw new Error('rule without target');
  }
}

function applyTarget([name, ...args]: string[], state: State): Outcome {
  switch (name) {
    case 'MARK':
      if (args[0] !== '--or-mark') throw new Error(`packet tracer does not know MARK ${args[0]}`);
      state.mark |= Number(args[1]);
      return 'continue';
    case 'DNAT': {
      const [, address = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(args[1]!) ?? [];
      state.destination = address;
      state.port = Number(port);
      return 'dnat';
    }
    case 'REJECT':
      return 'reject';
    case 'DROP':
      return 'drop';
    case 'ACCEPT':
      return 'accept';
    case 'RETURN':
      return 'return';
    default:
      throw new Error(`packet tracer does not know target ${name}`);
  }
}

const tokenize = (line: string): string[] =>
  [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!);

function inCidr(address: string, cidr: string): boolean {
  const ip = parseIp(address);
  const range = parseCidr(cidr.includes('/') ? cidr : `${cidr}/${cidr.includes(':') ? 128 : 32}`);
  if (ip === undefined || range === undefined) throw new Error(`no address or range: ${address} ${cidr}`);
  return rangeContains(range, ip);
}
