import { parseCidr, parseIp, rangeContains } from '#api/meta/ip-address.ts';
import type { Packet, TracerOptions, Verdict } from './packet-tracer.ts';

/**
 * Loads what `nft -f` would load and follows single packets through it, as `packet-tracer.ts` does for iptables. Knows the commands and
 * statements that our rules use and throws on any other; checks references as the kernel does, so that a chain or a map that something
 * still points to cannot be deleted.
 */

interface State {
  readonly packet: Packet;
  destination: string;
  port: number;
  mark: number;
  translated: boolean;
  masqueraded: boolean;
}

interface NftSet {
  readonly isMap: boolean;
  readonly elements: Map<string, string>;
}

interface Chain {
  hook: { readonly point: string; readonly priority: number } | undefined;
  rules: string[];
}

type Outcome = 'accept' | 'drop' | 'reject' | 'return' | 'continue';

/** A transaction that is committed while a packet is on its way. */
export interface Interruption {
  /** After so many look-ups in named sets and maps. */
  readonly afterLookUps: number;
  readonly text: string;
}

export class NftTracer {
  readonly #options: TracerOptions;
  readonly #sets = new Map<string, NftSet>();
  readonly #chains = new Map<string, Chain>();
  /** Of the packet that is followed with an interruption. */
  #onTheWay: { lookUps: number; readonly at: Interruption; readonly rules: ReadonlyMap<Chain, string[]> } | undefined;

  constructor(options: TracerOptions) {
    this.#options = options;
  }

  load(text: string): void {
    for (const line of text.split('\n')) if (line !== '') this.#command(line);
    this.#checkReferences();
  }

  /** Names of everything in the table: what a sync must not leave behind. */
  names(): string[] {
    return [...this.#chains.keys(), ...this.#sets.keys()].sort();
  }

  /** As `nft -j -t list table` tells. */
  installed(): { chains: string[]; sets: string[]; maps: string[] } {
    const named = (isMap: boolean) => [...this.#sets].filter(([, set]) => set.isMap === isMap).map(([name]) => name);
    return { chains: [...this.#chains.keys()], sets: named(false), maps: named(true) };
  }

  get ruleCount(): number {
    return [...this.#chains.values()].reduce((sum, { rules }) => sum + rules.length, 0);
  }

  elementCount(name: string): number {
    return this.#sets.get(name)?.elements.size ?? 0;
  }

  get totalElements(): number {
    return [...this.#sets.values()].reduce((sum, { elements }) => sum + elements.size, 0);
  }

  /** A packet keeps to the rules that stood when it came, and finds the elements that stand when it asks, as in the kernel. */
  traceInterrupted(packet: Packet, at: Interruption): Verdict {
    const rules = new Map([...this.#chains.values()].map((chain) => [chain, [...chain.rules]]));
    this.#onTheWay = { lookUps: 0, at, rules };
    try {
      return this.trace(packet);
    } finally {
      this.#onTheWay = undefined;
    }
  }

  trace(packet: Packet): Verdict {
    const state: State = {
      packet,
      destination: packet.destination,
      port: packet.port,
      mark: 0,
      translated: false,
      masqueraded: false,
    };
    const outcome = this.#hook(packet.fromHost ? 'output' : 'prerouting', state);
    if (outcome !== undefined) return outcome;
    if (!packet.fromHost) {
      const isLocal = this.#options.nodeAddresses.includes(state.destination);
      const next = this.#hook(isLocal ? 'input' : 'forward', state);
      if (next !== undefined) return next;
    }
    this.#hook('postrouting', state);
    return { kind: 'delivered', to: `${state.destination}:${state.port}`, masqueraded: state.masqueraded };
  }

  #hook(point: string, state: State): Verdict | undefined {
    const chains = [...this.#chains.values()]
      .filter(({ hook }) => hook?.point === point)
      .sort((a, b) => a.hook!.priority - b.hook!.priority);
    for (const chain of chains) {
      const outcome = this.#walk(chain, state);
      if (outcome === 'drop') return { kind: 'dropped' };
      if (outcome === 'reject') return { kind: 'rejected' };
    }
    return undefined;
  }

  #walk(chain: Chain, state: State): Outcome {
    const rules = this.#onTheWay === undefined ? chain.rules : (this.#onTheWay.rules.get(chain) ?? []);
    for (const rule of rules) {
      const outcome = this.#rule(rule, state);
      if (outcome === 'return') return 'continue';
      if (outcome !== 'continue') return outcome;
    }
    return 'continue';
  }

  /** Statements from left to right until one does not match. `goto` ends the chain that it leaves, whatever the target says. */
  #rule(rule: string, state: State): Outcome {
    let rest = rule;
    while (rest !== '') {
      const [pattern, statement] = STATEMENTS.find(([candidate]) => candidate.test(rest)) ?? [];
      if (pattern === undefined || statement === undefined) throw new Error(`nft tracer does not know: ${rest}`);
      const match = pattern.exec(rest)!;
      rest = rest.slice(match[0].length).trimStart();
      const outcome = statement(match, state, this);
      if (outcome === false) return 'continue';
      if (outcome !== true) return outcome;
    }
    return 'continue';
  }

  verdict(text: string, state: State): Outcome | true {
    const [word, target] = text.trim().split(' ');
    if (word === 'drop' || word === 'reject' || word === 'return' || word === 'accept') return word;
    const chain = this.#chains.get(target ?? '');
    if (chain === undefined || (word !== 'jump' && word !== 'goto')) throw new Error(`no verdict: ${text}`);
    const outcome = this.#walk(chain, state);
    if (outcome !== 'continue') return outcome;
    return word === 'jump' ? true : 'return';
  }

  pick(count: number): number {
    return this.#options.pick?.(count) ?? 0;
  }

  isNodeAddress(address: string): boolean {
    return this.#options.nodeAddresses.includes(address);
  }

  /** What a rule finds: the transaction that interrupts comes before it. */
  lookUp(name: string): NftSet {
    const way = this.#onTheWay;
    if (way !== undefined && way.lookUps++ === way.at.afterLookUps) this.load(way.at.text);
    return this.set(name);
  }

  set(name: string): NftSet {
    const set = this.#sets.get(name);
    if (set === undefined) throw new Error(`no set ${name}`);
    return set;
  }

  #command(line: string): void {
    const [operation, kind, , table, name = '', ...words] = line.split(' ');
    const rest = words.join(' ');
    if (kind === 'table') {
      if (operation === 'delete') {
        this.#chains.clear();
        this.#sets.clear();
      }
      return;
    }
    if (table === undefined) throw new Error(`no table in: ${line}`);
    if (kind === 'map' || kind === 'set') this.#changeSet(operation!, kind, name, line);
    else if (kind === 'chain') this.#changeChain(operation!, name, rest);
    else if (kind === 'rule') this.#chain(name).rules.push(rest);
    else if (kind === 'element') this.#changeElements(operation!, name, rest);
    else throw new Error(`nft tracer does not know the command: ${line}`);
  }

  #chain(name: string): Chain {
    const chain = this.#chains.get(name);
    if (chain === undefined) throw new Error(`no chain ${name}`);
    return chain;
  }

  #changeSet(operation: string, kind: string, name: string, line: string): void {
    if (operation === 'add') {
      if (!this.#sets.has(name)) this.#sets.set(name, { isMap: kind === 'map', elements: new Map() });
      return;
    }
    if (this.set(name).isMap !== (kind === 'map')) throw new Error(`${name} is no ${kind}: ${line}`);
    if (operation === 'flush') this.set(name).elements.clear();
    else if (this.#isUsed(`@${name}`)) throw new Error(`busy: ${line}`);
    else this.#sets.delete(name);
  }

  #changeChain(operation: string, name: string, definition: string): void {
    if (operation === 'add') {
      if (this.#chains.has(name)) return;
      const hook = /hook (\w+) priority (-?\d+)/.exec(definition);
      this.#chains.set(name, {
        hook: hook === null ? undefined : { point: hook[1]!, priority: Number(hook[2]) },
        rules: [],
      });
      return;
    }
    const chain = this.#chain(name);
    if (operation === 'flush') chain.rules = [];
    else if (chain.rules.length > 0 || this.#isUsed(name)) throw new Error(`busy: chain ${name}`);
    else this.#chains.delete(name);
  }

  #isUsed(name: string): boolean {
    const isIn = (text: string) => text.split(/[\s,]+/).includes(name);
    return (
      [...this.#chains.values()].some(({ rules }) => rules.some(isIn)) ||
      [...this.#sets.values()].some(({ elements }) => [...elements.values()].some(isIn))
    );
  }

  #changeElements(operation: string, name: string, text: string): void {
    const { elements, isMap } = this.set(name);
    for (const entry of text.slice(1, -1).split(',')) {
      const [key = '', value = ''] = entry.split(' : ').map((part) => part.trim());
      if (operation === 'delete') {
        if (!elements.delete(key)) throw new Error(`no element ${key} in ${name}`);
      } else {
        if (isMap && elements.has(key) && elements.get(key) !== value) throw new Error(`${key} is in ${name} already`);
        elements.set(key, value);
      }
    }
  }

  #checkReferences(): void {
    const check = (text: string) => {
      for (const [, target] of text.matchAll(/\b(?:jump|goto) ([^\s,]+)/g)) this.#chain(target!);
      for (const [, name] of text.matchAll(/@([\w-]+)/g)) this.set(name!);
    };
    for (const { rules } of this.#chains.values()) rules.forEach(check);
    for (const { elements } of this.#sets.values()) [...elements.values()].forEach(check);
  }
}

type Statement = (match: RegExpExecArray, state: State, tracer: NftTracer) => Outcome | boolean;

const FIELD = String.raw`(?:ip6? [sd]addr|meta l4proto|(?:th|tcp|udp|sctp) dport|numgen random mod \d+)`;
const KEY = String.raw`(${FIELD}(?: \. ${FIELD})*)`;

function field(text: string, { packet, destination, port }: State, tracer: NftTracer): string {
  if (text.endsWith('saddr')) return packet.source;
  if (text.endsWith('daddr')) return destination;
  if (text === 'meta l4proto') return packet.protocol;
  if (text === 'th dport' || text === `${packet.protocol} dport`) return String(port);
  // A field of another protocol does not match.
  if (text.endsWith('dport')) return '';
  return String(tracer.pick(Number(text.split(' ').at(-1))));
}

const keyOf = (text: string, state: State, tracer: NftTracer): string =>
  text
    .split(' . ')
    .map((part) => field(part, state, tracer))
    .join(' . ');

const entriesOf = (text: string): Map<string, string> =>
  new Map(text.split(',').map((entry) => entry.split(' : ').map((part) => part.trim()) as [string, string]));

function translate(to: string | undefined, state: State): Outcome {
  if (to === undefined) return 'continue';
  const [address, port] = to.includes(' . ')
    ? to.split(' . ')
    : [to.slice(0, to.lastIndexOf(':')), to.slice(to.lastIndexOf(':') + 1)];
  state.destination = address!.replace(/^\[|\]$/g, '');
  state.port = Number(port);
  state.translated = true;
  return 'accept';
}

const contains = (set: string, address: string): boolean =>
  set.split(',').some((range) => {
    const cidr = parseCidr(
      range.trim().includes('/') ? range.trim() : `${range.trim()}/${range.includes(':') ? 128 : 32}`,
    );
    const ip = parseIp(address);
    return cidr !== undefined && ip !== undefined && rangeContains(cidr, ip);
  });

const STATEMENTS: readonly (readonly [RegExp, Statement])[] = [
  [/^ct state new/, () => true],
  [/^ct state invalid/, () => false],
  [/^ct status dnat/, (_, state) => state.translated],
  [/^fib daddr type local/, (_, state, tracer) => tracer.isNodeAddress(state.destination)],
  [/^fib saddr type local/, (_, state, tracer) => tracer.isNodeAddress(state.packet.source)],
  [/^meta mark and (\w+) != 0/, ([, bits], state) => (state.mark & Number(bits)) !== 0],
  [
    /^meta mark set meta mark (or|xor) (\w+)/,
    ([, operation, bits], state) => {
      state.mark = operation === 'or' ? state.mark | Number(bits) : state.mark ^ Number(bits);
      return true;
    },
  ],
  [
    /^masquerade fully-random/,
    (_, state) => {
      state.masqueraded = true;
      return 'accept';
    },
  ],
  [
    /^update @(\S+) \{ ip6? saddr \}/,
    ([, name], state, tracer) => {
      tracer.set(name!).elements.set(state.packet.source, '');
      return true;
    },
  ],
  [/^dnat (?:ip6? )?to (\S+:\d+)/, ([, to], state) => translate(to, state)],
  [
    new RegExp(`^dnat ip6? to ${KEY} map @(\\S+)`),
    ([, key, name], state, tracer) => translate(tracer.lookUp(name!).elements.get(keyOf(key!, state, tracer)), state),
  ],
  [
    new RegExp(`^dnat ip6? to ${KEY} map \\{([^}]*)\\}`),
    ([, key, choices], state, tracer) => translate(entriesOf(choices!).get(keyOf(key!, state, tracer)), state),
  ],
  [
    new RegExp(`^${KEY} vmap (?:@(\\S+)|\\{([^}]*)\\})`),
    ([, key, name, choices], state, tracer) => {
      const entries = name === undefined ? entriesOf(choices!) : tracer.lookUp(name).elements;
      const verdict = entries.get(keyOf(key!, state, tracer));
      return verdict === undefined ? false : tracer.verdict(verdict, state);
    },
  ],
  [/^meta l4proto (tcp|udp|sctp)/, ([, protocol], state) => state.packet.protocol === protocol],
  [
    new RegExp(`^${KEY} @(\\S+)`),
    ([, key, name], state, tracer) => tracer.lookUp(name!).elements.has(keyOf(key!, state, tracer)),
  ],
  [
    /^(ip6? [sd]addr) (!= )?(?:\{([^}]*)\}|(\S+))/,
    ([, name, not, set, single], state, tracer) =>
      contains((set ?? single)!, field(name!, state, tracer)) === (not === undefined),
  ],
  [/^((?:jump|goto) \S+|drop|reject|return)/, ([, verdict], state, tracer) => tracer.verdict(verdict!, state)],
];
