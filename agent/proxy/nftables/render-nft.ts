import type { PlanChange } from '../change-tracker.ts';
import type { ServicePortPlan } from '../service-port-plan.ts';
import { renderServiceElements, type ServiceElements, type SharedSet } from './service-elements.ts';
import {
  endpointMap,
  endpointMapDefinition,
  fixedChains,
  fixedSets,
  isMapDefinition,
  type NftOptions,
  nftFamily,
  type Spread,
  spreadChain,
  spreadRules,
  TABLE,
} from './table-layout.ts';

/** Input for `nft -f -`: everything in it happens in one kernel transaction, or nothing. */
export type NftText = string;

/** Names that stand in our table, as `nft -j -t list table` tells them. */
export interface Installed {
  readonly chains: readonly string[];
  readonly sets: readonly string[];
  readonly maps: readonly string[];
}

/** What the kernel holds that several Service ports may share, kept from sync to sync. */
export interface SharedState {
  /** Names of the spread chains that stand. */
  readonly spreads: ReadonlySet<string>;
  /** Element of a shared set -> how many Service ports want it. */
  readonly counts: SharedCounts;
}

type SharedCounts = ReadonlyMap<SharedSet, ReadonlyMap<string, number>>;

export const NOTHING_INSTALLED: SharedState = { spreads: new Set(), counts: new Map() };

export interface Rendered {
  /**
   * A transaction of its own, before `text`; mostly empty. A packet under way when a chain is made finds that chain empty until it leaves
   * the hook, so what elements shall lead to must stand before they do.
   */
  readonly preparation: NftText;
  readonly text: NftText;
  /** What the kernel holds once the text was taken. */
  readonly state: SharedState;
}

/** Longer lines make the parser slower than linear. */
const ELEMENTS_PER_LINE = 2_000;

/**
 * Everything, from nothing known but the names that are there. Sets that remember clients keep them: an agent that restarts must not send
 * a client elsewhere. With `installed` undefined the table is made anew.
 */
export function renderFullSync(
  plans: readonly ServicePortPlan[],
  installed: Installed | undefined,
  options: NftOptions,
): Rendered {
  const f = nftFamily(options.family);
  const services = plans.map((plan) => renderServiceElements(plan, options));
  const spreads = uniqueSpreads(services);
  const { counts } = countShared(NOTHING_INSTALLED.counts, [], services);
  const own = new Map(services.flatMap(({ chains }) => [...chains]));
  const fixed = fixedChains(options);
  const sets = setDefinitions(services, spreads, f);
  const chainRules = new Map<string, readonly string[]>([
    ...[...fixed].map(([name, { rules }]) => [name, rules] as const),
    ...spreads.map((spread) => [spreadChain(spread), spreadRules(spread, options)] as const),
    ...own,
  ]);
  const elements = mergeElements(services);
  for (const [set, wanted] of counts) elements.set(set, new Map([...wanted.keys()].map((key) => [key, ''])));
  const here = installed ?? { chains: [], sets: [], maps: [] };
  const t = `${f} ${TABLE}`;
  return {
    state: { spreads: new Set(spreads.map(spreadChain)), counts },
    preparation: '',
    text: join([
      `add table ${t}`,
      ...(installed === undefined ? [`delete table ${t}`, `add table ${t}`] : []),
      ...here.maps.map((name) => `flush map ${t} ${name}`),
      ...here.sets.filter((name) => !name.startsWith('affinity-')).map((name) => `flush set ${t} ${name}`),
      ...here.chains.map((name) => `flush chain ${t} ${name}`),
      ...here.chains.filter((name) => !chainRules.has(name)).map((name) => `delete chain ${t} ${name}`),
      ...here.maps.filter((name) => !sets.has(name)).map((name) => `delete map ${t} ${name}`),
      ...here.sets.filter((name) => !sets.has(name)).map((name) => `delete set ${t} ${name}`),
      ...[...sets]
        .filter(([name]) => !here.sets.includes(name) && !here.maps.includes(name))
        .map(([name, definition]) => addSet(t, name, definition)),
      ...[...chainRules.keys()].map((name) => `add chain ${t} ${name} ${fixed.get(name)?.hook ?? ''}`.trimEnd()),
      ...[...chainRules].flatMap(([name, rules]) => rules.map((rule) => `add rule ${t} ${name} ${rule}`)),
      ...[...elements].flatMap(([name, entries]) => changeElements('add', t, name, entries)),
    ]),
  };
}

/** Only what changed; both texts are empty when nothing is left to do. */
export function renderPartialSync(changes: readonly PlanChange[], state: SharedState, options: NftOptions): Rendered {
  const f = nftFamily(options.family);
  const t = `${f} ${TABLE}`;
  const before = changes.flatMap(({ previous }) => (previous ? [renderServiceElements(previous, options)] : []));
  const after = changes.flatMap(({ next }) => (next ? [renderServiceElements(next, options)] : []));
  const newSpreads = uniqueSpreads(after).filter((spread) => !state.spreads.has(spreadChain(spread)));
  const { counts, ...shared } = countShared(state.counts, before, after);
  const [gone, added] = diffElements(mergeElements(before), mergeElements(after));
  for (const [set, keys] of shared.gone) gone.set(set, keys);
  for (const [set, keys] of shared.added) added.set(set, keys);
  const oldChains = new Map(before.flatMap(({ chains }) => [...chains]));
  const newChains = new Map(after.flatMap(({ chains }) => [...chains]));
  const changed = [...newChains].filter(([name, rules]) => oldChains.get(name)?.join('\n') !== rules.join('\n'));
  const goneChains = [...oldChains.keys()].filter((name) => !newChains.has(name));
  const oldSets = new Map(before.flatMap(({ affinitySets }) => [...affinitySets]));
  const newSets = new Map(after.flatMap(({ affinitySets }) => [...affinitySets]));
  return {
    state: { spreads: new Set([...state.spreads, ...newSpreads.map(spreadChain)]), counts },
    preparation: join([
      ...newEndpointMaps(newSpreads, state).map((spread) =>
        addSet(t, endpointMap(spread), endpointMapDefinition(spread, f)),
      ),
      ...newSpreads.flatMap((spread) => writeChain(t, spreadChain(spread), spreadRules(spread, options))),
    ]),
    text: join([
      ...[...gone].flatMap(([name, entries]) => changeElements('delete', t, name, entries)),
      ...changed.filter(([name]) => oldChains.has(name)).map(([name]) => `flush chain ${t} ${name}`),
      ...goneChains.map((name) => `flush chain ${t} ${name}`),
      ...goneChains.map((name) => `delete chain ${t} ${name}`),
      ...[...oldSets.keys()].filter((name) => !newSets.has(name)).map((name) => `delete set ${t} ${name}`),
      ...[...newSets]
        .filter(([name]) => !oldSets.has(name))
        .map(([name, seconds]) => addSet(t, name, affinityDefinition(f, seconds))),
      ...changed.filter(([name]) => !oldChains.has(name)).map(([name]) => `add chain ${t} ${name}`),
      ...changed.flatMap(([name, rules]) => rules.map((rule) => `add rule ${t} ${name} ${rule}`)),
      ...[...added].flatMap(([name, entries]) => changeElements('add', t, name, entries)),
    ]),
  };
}

function writeChain(t: string, name: string, rules: readonly string[]): string[] {
  return [`add chain ${t} ${name}`, ...rules.map((rule) => `add rule ${t} ${name} ${rule}`)];
}

/** One for each map that no spread of before has made. */
function newEndpointMaps(newSpreads: readonly Spread[], state: SharedState): Spread[] {
  const twin = { cluster: 'external', external: 'cluster', nodeport: 'nodeport' } as const;
  const lacking = newSpreads.filter(
    (spread) => !state.spreads.has(spreadChain({ ...spread, kind: twin[spread.kind] })),
  );
  return [...new Map(lacking.map((spread) => [endpointMap(spread), spread])).values()];
}

function setDefinitions(
  services: readonly ServiceElements[],
  spreads: readonly Spread[],
  f: 'ip' | 'ip6',
): Map<string, string> {
  return new Map([
    ...fixedSets(f),
    ...spreads.map((spread) => [endpointMap(spread), endpointMapDefinition(spread, f)] as const),
    ...services.flatMap(({ affinitySets }) =>
      [...affinitySets].map(([name, seconds]) => [name, affinityDefinition(f, seconds)] as const),
    ),
  ]);
}

const affinityDefinition = (f: 'ip' | 'ip6', seconds: number): string =>
  `{ typeof ${f} saddr ; flags dynamic,timeout ; timeout ${seconds}s ; }`;

const addSet = (t: string, name: string, definition: string): string =>
  `add ${isMapDefinition(definition) ? 'map' : 'set'} ${t} ${name} ${definition}`;

function uniqueSpreads(services: readonly ServiceElements[]): Spread[] {
  return [
    ...new Map(services.flatMap(({ spreads }) => spreads.map((spread) => [spreadChain(spread), spread]))).values(),
  ];
}

/** What Service ports of `before` no longer want and those of `after` do; looks at no key that neither names. */
function countShared(
  counts: SharedCounts,
  before: readonly ServiceElements[],
  after: readonly ServiceElements[],
): { readonly counts: SharedCounts; readonly gone: Elements; readonly added: Elements } {
  const deltas = new Map<SharedSet, Map<string, number>>();
  const count = (services: readonly ServiceElements[], step: 1 | -1) => {
    for (const [set, keys] of services.flatMap(({ shared }) => [...shared])) {
      const ofSet = deltas.get(set) ?? new Map<string, number>();
      deltas.set(set, ofSet);
      for (const key of keys) ofSet.set(key, (ofSet.get(key) ?? 0) + step);
    }
  };
  count(before, -1);
  count(after, 1);
  const [next, gone, added] = [
    new Map(counts),
    new Map<string, Map<string, string>>(),
    new Map<string, Map<string, string>>(),
  ];
  for (const [set, ofSet] of deltas) {
    const wanted = new Map(counts.get(set));
    const [goneKeys, addedKeys] = [new Map<string, string>(), new Map<string, string>()];
    for (const [key, step] of ofSet) {
      const was = wanted.get(key) ?? 0;
      if (was + step > 0) wanted.set(key, was + step);
      else wanted.delete(key);
      if (was > 0 && was + step <= 0) goneKeys.set(key, '');
      if (was <= 0 && was + step > 0) addedKeys.set(key, '');
    }
    next.set(set, wanted);
    gone.set(set, goneKeys);
    added.set(set, addedKeys);
  }
  return { counts: next, gone, added };
}

type Elements = Map<string, Map<string, string>>;

function mergeElements(services: readonly ServiceElements[]): Elements {
  const merged: Elements = new Map();
  for (const { elements } of services) {
    for (const [name, entries] of elements) {
      const into = merged.get(name) ?? new Map<string, string>();
      merged.set(name, into);
      for (const [key, value] of entries) if (!into.has(key)) into.set(key, value);
    }
  }
  return merged;
}

/** What must go and what must come: an element whose value changed is in both. */
function diffElements(before: Elements, after: Elements): [gone: Elements, added: Elements] {
  const gone: Elements = new Map();
  const added: Elements = new Map();
  for (const [name, entries] of before)
    gone.set(name, new Map([...entries].filter(([key, value]) => after.get(name)?.get(key) !== value)));
  for (const [name, entries] of after)
    added.set(name, new Map([...entries].filter(([key, value]) => before.get(name)?.get(key) !== value)));
  return [gone, added];
}

function changeElements(
  operation: 'add' | 'delete',
  t: string,
  name: string,
  entries: ReadonlyMap<string, string>,
): string[] {
  const all = [...entries].map(([key, value]) => (operation === 'delete' || value === '' ? key : `${key} : ${value}`));
  const lines: string[] = [];
  for (let start = 0; start < all.length; start += ELEMENTS_PER_LINE)
    lines.push(`${operation} element ${t} ${name} { ${all.slice(start, start + ELEMENTS_PER_LINE).join(', ')} }`);
  return lines;
}

const join = (lines: readonly string[]): string => (lines.length === 0 ? '' : `${lines.join('\n')}\n`);
