import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import {
  CLUSTER_DNS_PEER,
  type NodePolicy,
  type PolicyBlock,
  type PolicyGroup,
  type PolicyPorts,
  type PolicyRule,
} from '#api/network/node-policy.ts';
import type { Namespace, Pod } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';

export type NetworkPolicy = Stored<INetworkPolicy>;
type Spec = NonNullable<INetworkPolicy['spec']>;
type Peer = NonNullable<NonNullable<Spec['ingress']>[number]['from']>[number];
type Port = NonNullable<NonNullable<Spec['ingress']>[number]['ports']>[number];
type Direction = 'ingress' | 'egress';

export interface ClusterState {
  readonly policies: readonly NetworkPolicy[];
  readonly pods: readonly Pod[];
  readonly namespaces: readonly Namespace[];
}

/** A pod as far as policies look at it. */
interface Subject {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly string[];
  readonly node: string | undefined;
  readonly pod: Pod | undefined;
}

/** What each node's own agent answers for the `kube-dns` Service counts as this pod. */
const CLUSTER_DNS: Subject = {
  namespace: 'kube-system',
  labels: { 'k8s-app': 'kube-dns' },
  addresses: [CLUSTER_DNS_PEER],
  node: undefined,
  pod: undefined,
};

/** For each node with isolated pods what it must let pass. Pods on the host's network are none of NetworkPolicy's business. */
export function compilePolicies(state: ClusterState): ReadonlyMap<string, NodePolicy> {
  if (state.policies.length === 0) return new Map();
  const compiler = new Compiler(state);
  const groups = new Map<string, Map<string, PolicyGroup & { pods: string[] }>>();
  for (const subject of compiler.subjects) {
    const policies = state.policies.filter((policy) => selects(policy, subject));
    if (subject.node === undefined || policies.length === 0) continue;
    const ofNode = groups.get(subject.node) ?? new Map<string, PolicyGroup & { pods: string[] }>();
    groups.set(subject.node, ofNode);
    const rules = compiler.rulesOf(policies, subject);
    const key = JSON.stringify(rules);
    const group = ofNode.get(key) ?? { pods: [], ...rules };
    group.pods.push(...subject.addresses);
    ofNode.set(key, group);
  }
  return new Map([...groups].map(([node, ofNode]) => [node, compiler.nodePolicy([...ofNode.values()])]));
}

class Compiler {
  readonly subjects: readonly Subject[];
  readonly #namespaceLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
  readonly #sets = new Map<string, readonly Subject[]>();

  constructor({ pods, namespaces }: ClusterState) {
    this.#namespaceLabels = new Map(namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
    this.subjects = pods.flatMap((pod) => subjectOf(pod) ?? []);
  }

  rulesOf(policies: readonly NetworkPolicy[], subject: Subject): Omit<PolicyGroup, 'pods'> {
    const ingress = policies.filter(({ spec }) => directionsOf(spec).includes('ingress'));
    const egress = policies.filter(({ spec }) => directionsOf(spec).includes('egress'));
    return {
      ...(ingress.length === 0 ? {} : { ingress: ingress.flatMap((policy) => this.#ingress(policy, subject)) }),
      ...(egress.length === 0 ? {} : { egress: egress.flatMap((policy) => this.#egress(policy)) }),
    };
  }

  nodePolicy(groups: readonly PolicyGroup[]): NodePolicy {
    const rules = groups.flatMap(({ ingress = [], egress = [] }) => [...ingress, ...egress]);
    const used = [...new Set(rules.flatMap(({ sets = [] }) => sets))].sort();
    const addresses = (key: string) => [...new Set(this.#sets.get(key)!.flatMap((one) => one.addresses))].sort();
    return { sets: Object.fromEntries(used.map((key) => [key, addresses(key)])), groups };
  }

  #ingress({ metadata, spec }: NetworkPolicy, subject: Subject): PolicyRule[] {
    return (spec?.ingress ?? []).flatMap(({ from, ports }) => {
      const resolved = ports?.flatMap((port) => resolvePort(port, subject));
      // Named ports that this pod does not have: nothing of the rule is left.
      if (ports?.length && resolved?.length === 0) return [];
      return [{ ...this.#peers(from, metadata.namespace ?? ''), ...(resolved?.length ? { ports: resolved } : {}) }];
    });
  }

  /** A named port means another number on each pod that is reached, so such a rule is one rule per number. */
  #egress({ metadata, spec }: NetworkPolicy): PolicyRule[] {
    return (spec?.egress ?? []).flatMap(({ to, ports }) => {
      const peers = this.#peers(to, metadata.namespace ?? '');
      const numeric = (ports ?? []).filter(({ port }) => typeof port !== 'string').flatMap((port) => resolvePort(port));
      const named = (ports ?? []).filter(({ port }) => typeof port === 'string');
      const plain = ports?.length ? (numeric.length > 0 ? [{ ...peers, ports: numeric }] : []) : [peers];
      return [...plain, ...named.flatMap((port) => this.#egressByName(peers, port))];
    });
  }

  #egressByName(peers: Pick<PolicyRule, 'sets' | 'blocks'>, port: Port): PolicyRule[] {
    const reached =
      peers.sets === undefined && peers.blocks === undefined
        ? this.subjects
        : (peers.sets ?? []).flatMap((key) => this.#sets.get(key)!);
    const byNumber = new Map<string, { ports: PolicyPorts; subjects: Subject[] }>();
    for (const subject of reached) {
      for (const ports of resolvePort(port, subject)) {
        const entry = byNumber.get(JSON.stringify(ports)) ?? { ports, subjects: [] };
        entry.subjects.push(subject);
        byNumber.set(JSON.stringify(ports), entry);
      }
    }
    return [...byNumber].map(([key, { ports, subjects }]) => {
      const set = `${(peers.sets ?? ['any']).join('|')}#${key}`;
      this.#sets.set(set, subjects);
      return { sets: [set], ports: [ports] };
    });
  }

  #peers(peers: readonly Peer[] | undefined, namespace: string): Pick<PolicyRule, 'sets' | 'blocks'> {
    if (peers === undefined || peers.length === 0) return {};
    const blocks = peers.flatMap(({ ipBlock }): PolicyBlock[] =>
      ipBlock === undefined ? [] : [{ cidr: ipBlock.cidr, except: ipBlock.except ?? [] }],
    );
    const sets = peers.filter(({ ipBlock }) => ipBlock === undefined).map((peer) => this.#setOf(peer, namespace));
    return { sets: [...new Set(sets)], blocks };
  }

  /** The same selectors are the same set, whichever policy asks. */
  #setOf({ namespaceSelector, podSelector }: Peer, namespace: string): string {
    const where = namespaceSelector === undefined ? namespace : JSON.stringify(namespaceSelector);
    const key = `${where}/${podSelector === undefined ? '' : JSON.stringify(podSelector)}`;
    if (!this.#sets.has(key)) {
      const isPod = matcherOf(podSelector);
      const isNamespace = matcherOf(namespaceSelector);
      const isThere = (subject: Subject) =>
        namespaceSelector === undefined
          ? subject.namespace === namespace
          : this.#namespaceLabels.has(subject.namespace) && isNamespace(this.#namespaceLabels.get(subject.namespace)!);
      const members = [...this.subjects, CLUSTER_DNS].filter((subject) => isThere(subject) && isPod(subject.labels));
      this.#sets.set(key, members);
    }
    return key;
  }
}

type Matcher = (labels: Readonly<Record<string, string>>) => boolean;

/** An absent selector selects all; so does an empty one. */
function matcherOf(selector: unknown): Matcher {
  const parsed = labelSelectorFrom((selector ?? {}) as LabelSelectorObject);
  return (labels) => parsed.matches(labels);
}

function selects({ metadata, spec }: NetworkPolicy, { namespace, labels }: Subject): boolean {
  return metadata.namespace === namespace && matcherOf(spec?.podSelector)(labels);
}

/** The API server fills `policyTypes`; where it did not, the rules that are there tell. */
function directionsOf(spec: Spec | undefined): Direction[] {
  const types = spec?.policyTypes ?? ['Ingress', ...(spec?.egress?.length ? ['Egress'] : [])];
  return types.map((type) => (type === 'Ingress' ? 'ingress' : 'egress'));
}

function subjectOf(pod: Pod): Subject | undefined {
  const { metadata, spec, status } = pod;
  if (spec?.hostNetwork === true || status?.phase === 'Succeeded' || status?.phase === 'Failed') return undefined;
  const addresses = (status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []);
  if (addresses.length === 0) return undefined;
  return {
    namespace: metadata.namespace ?? '',
    labels: metadata.labels ?? {},
    addresses,
    node: spec?.nodeName,
    pod,
  };
}

/** A port by name is looked for among the container ports of `subject`; it has none when the name is not there. */
function resolvePort({ port, endPort, protocol = 'TCP' }: Port, subject?: Subject): PolicyPorts[] {
  const typed = protocol as PolicyPorts['protocol'];
  if (port === undefined) return [{ protocol: typed }];
  if (typeof port === 'number') return [{ protocol: typed, port, ...(endPort === undefined ? {} : { endPort }) }];
  const spec = subject?.pod?.spec;
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return containers
    .flatMap(({ ports }) => ports ?? [])
    .filter((one) => one.name === port && (one.protocol ?? 'TCP') === protocol)
    .map(({ containerPort }) => ({ protocol: typed, port: containerPort }));
}
