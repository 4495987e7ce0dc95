import { type LabelSelector, type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import { reservedShape } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { claimsOf, type PodClaim } from '#api/storage/claims.ts';
import { nonZeroRequestsOf, type ResourceAmounts, requestsOf } from './resource-amounts.ts';

export interface HostPort {
  /** `0.0.0.0`: all addresses. */
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** One term of pod affinity or anti-affinity, compiled. */
export interface PodAffinityTerm {
  /** Equal ids, equal terms. */
  readonly id: string;
  readonly topologyKey: string;
  readonly selector: LabelSelector;
  /** Names the selector in caches. */
  readonly selectorId: string;
  /** Namespaces by name. Empty together with an undefined selector never occurs: the pod's own is filled in. */
  readonly namespaces: ReadonlySet<string>;
  /** Further namespaces, by their labels. */
  readonly namespaceSelector: LabelSelector | undefined;
}

export interface WeightedPodAffinityTerm extends PodAffinityTerm {
  readonly weight: number;
}

export interface PodAffinityTerms {
  readonly requiredAffinity: readonly PodAffinityTerm[];
  readonly requiredAntiAffinity: readonly PodAffinityTerm[];
  readonly preferredAffinity: readonly WeightedPodAffinityTerm[];
  readonly preferredAntiAffinity: readonly WeightedPodAffinityTerm[];
}

/** A pod with what the scheduler asks of it again and again. Made anew for each version of the pod; immutable. */
export interface PodInfo {
  readonly pod: Pod;
  readonly key: ObjectKey;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly isTerminating: boolean;
  readonly requests: ResourceAmounts;
  /** Requests for scoring. */
  readonly nonZero: { readonly milliCpu: number; readonly memory: number };
  readonly hostPorts: readonly HostPort[];
  readonly claims: readonly PodClaim[];
  /** undefined: the pod says nothing about other pods. */
  readonly affinity: PodAffinityTerms | undefined;
}

const NO_LABELS: Readonly<Record<string, string>> = Object.freeze({});
const NO_PORTS: readonly HostPort[] = [];

export function createPodInfo(pod: Pod): PodInfo {
  const { metadata, spec } = pod;
  const shape = reservedShape(pod);
  return {
    pod,
    key: keyOf(pod),
    namespace: metadata.namespace ?? '',
    labels: metadata.labels ?? NO_LABELS,
    priority: spec?.priority ?? 0,
    isTerminating: metadata.deletionTimestamp !== undefined,
    requests: requestsOf(shape),
    nonZero: nonZeroRequestsOf(shape),
    hostPorts: hostPortsOf(pod),
    claims: claimsOf(pod),
    affinity: affinityOf(pod),
  };
}

/** Whether a term means this pod; `namespaceLabels` are those of the pod's namespace. */
export function matchesTerm(
  term: PodAffinityTerm,
  pod: Pick<PodInfo, 'namespace' | 'labels'>,
  namespaceLabels: Readonly<Record<string, string>> | undefined,
): boolean {
  const isInNamespace = term.namespaces.has(pod.namespace) || term.namespaceSelector?.matches(namespaceLabels) === true;
  return isInNamespace && term.selector.matches(pod.labels);
}

function hostPortsOf(pod: Pod): readonly HostPort[] {
  const sidecars = (pod.spec?.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
  const ports = [...(pod.spec?.containers ?? []), ...sidecars].flatMap((container) =>
    (container.ports ?? []).flatMap(({ hostPort, hostIP, protocol }) =>
      hostPort === undefined || hostPort <= 0
        ? []
        : [
            {
              ip: hostIP === undefined || hostIP === '' ? '0.0.0.0' : hostIP,
              protocol: protocol ?? 'TCP',
              port: hostPort,
            },
          ],
    ),
  );
  return ports.length === 0 ? NO_PORTS : ports;
}

/** The shape of `v1.PodAffinityTerm` as far as it is used. */
interface RawTerm {
  readonly topologyKey: string;
  readonly labelSelector?: LabelSelectorObject;
  readonly namespaces?: readonly string[];
  readonly namespaceSelector?: LabelSelectorObject;
}

interface RawAffinity {
  readonly requiredDuringSchedulingIgnoredDuringExecution?: readonly RawTerm[];
  readonly preferredDuringSchedulingIgnoredDuringExecution?: readonly {
    readonly weight: number;
    readonly podAffinityTerm: RawTerm;
  }[];
}

function affinityOf(pod: Pod): PodAffinityTerms | undefined {
  const affinity = pod.spec?.affinity;
  const attract = affinity?.podAffinity as RawAffinity | undefined;
  const repel = affinity?.podAntiAffinity as RawAffinity | undefined;
  if (attract === undefined && repel === undefined) return undefined;
  const namespace = pod.metadata.namespace ?? '';
  const required = (raw: RawAffinity | undefined) =>
    (raw?.requiredDuringSchedulingIgnoredDuringExecution ?? []).map((term) => compileTerm(term, namespace));
  const preferred = (raw: RawAffinity | undefined) =>
    (raw?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ weight, podAffinityTerm }) => ({
      ...compileTerm(podAffinityTerm, namespace),
      weight,
    }));
  return {
    requiredAffinity: required(attract),
    requiredAntiAffinity: required(repel),
    preferredAffinity: preferred(attract),
    preferredAntiAffinity: preferred(repel),
  };
}

function compileTerm(term: RawTerm, podNamespace: string): PodAffinityTerm {
  const { topologyKey, labelSelector, namespaces = [], namespaceSelector } = term;
  const isOwnNamespace = namespaces.length === 0 && namespaceSelector === undefined;
  const names = isOwnNamespace ? [podNamespace] : namespaces;
  return {
    id: JSON.stringify([topologyKey, labelSelector, names, namespaceSelector]),
    topologyKey,
    selector: labelSelectorFrom(labelSelector),
    selectorId: JSON.stringify(labelSelector ?? null),
    namespaces: new Set(names),
    namespaceSelector: namespaceSelector === undefined ? undefined : labelSelectorFrom(namespaceSelector),
  };
}
