import type { IPersistentVolumeClaim } from 'kubernetes-models/v1/PersistentVolumeClaim';
import type { IService } from 'kubernetes-models/v1/Service';
import { Quantity } from '../meta/quantity.ts';
import type { Pod } from '../object/kinds.ts';
import type { KubeObject } from '../object/kube-object.ts';
import { type Amounts, ONE } from './amounts.ts';
import {
  isPodResource,
  isTerminatingScope,
  matchesValue,
  missingRequirements,
  podMatchesScope,
  podUsage,
  type ScopeRequirement,
} from './pod-usage.ts';

export interface GroupResource {
  readonly group: string;
  readonly resource: string;
}

/** What one kind of object costs of a quota. */
export interface QuotaEvaluator extends GroupResource {
  /** True for names in `hard` that objects of this kind count towards. */
  counts(name: string): boolean;
  usage(object: KubeObject, nowMs: number): Amounts;
  matchesScope(object: KubeObject, requirement: ScopeRequirement): boolean;
  /** Why the object cannot be counted; undefined when it can. */
  problem?(object: KubeObject, required: readonly string[]): string | undefined;
  /** True when an update is charged for what it adds. Undefined: only creation is charged. */
  chargesUpdate?(subresource: string, object: KubeObject, old: KubeObject): boolean;
}

const pods: QuotaEvaluator = {
  group: '',
  resource: 'pods',
  counts: isPodResource,
  usage: (object, nowMs) => podUsage(object as unknown as Pod, nowMs),
  matchesScope: (object, requirement) => podMatchesScope(object as unknown as Pod, requirement),
  problem: (object, required) => missingRequirements(object as unknown as Pod, required),
  chargesUpdate: (subresource, object, old) =>
    subresource === 'resize' ||
    (subresource === '' && isTerminatingScope(object as unknown as Pod) !== isTerminatingScope(old as unknown as Pod)),
};

const NO_SCOPE = () => false;

function serviceUsage({ spec }: IService): Amounts {
  const usage = new Map([
    ['count/services', ONE],
    ['services', ONE],
  ]);
  const ports = spec?.ports ?? [];
  if (spec?.type === 'NodePort') usage.set('services.nodeports', Quantity.fromValue(ports.length));
  if (spec?.type === 'LoadBalancer') {
    usage.set('services.loadbalancers', ONE);
    // Without node ports only those count that were asked for by number.
    const held =
      spec.allocateLoadBalancerNodePorts === false ? ports.filter(({ nodePort }) => (nodePort ?? 0) !== 0) : ports;
    usage.set('services.nodeports', Quantity.fromValue(held.length));
  }
  return usage;
}

const SERVICE_RESOURCES = ['count/services', 'services', 'services.nodeports', 'services.loadbalancers'];

const services: QuotaEvaluator = {
  group: '',
  resource: 'services',
  counts: (name) => SERVICE_RESOURCES.includes(name),
  usage: (object) => serviceUsage(object as IService),
  matchesScope: NO_SCOPE,
  chargesUpdate: (subresource) => subresource === '',
};

const CLAIMS = ['count/persistentvolumeclaims', 'persistentvolumeclaims', 'requests.storage'];
const OF_CLASS = '.storageclass.storage.k8s.io/';
const CLASS_ANNOTATION = 'volume.beta.kubernetes.io/storage-class';

function claimUsage({ metadata, spec, status }: IPersistentVolumeClaim): Amounts {
  const usage = new Map([
    ['count/persistentvolumeclaims', ONE],
    ['persistentvolumeclaims', ONE],
  ]);
  const className = metadata?.annotations?.[CLASS_ANNOTATION] ?? spec?.storageClassName ?? '';
  const ofClass = (name: string) => `${className}${OF_CLASS}${name}`;
  if (className !== '') usage.set(ofClass('persistentvolumeclaims'), ONE);
  const wanted = spec?.resources?.requests?.storage;
  if (wanted === undefined) return usage;
  const [asked, held] = [Quantity.parse(wanted), Quantity.parse(status?.allocatedResources?.storage ?? '0')];
  const storage = asked.compare(held) < 0 ? held : asked;
  usage.set('requests.storage', storage);
  if (className !== '') usage.set(ofClass('requests.storage'), storage);
  return usage;
}

const claims: QuotaEvaluator = {
  group: '',
  resource: 'persistentvolumeclaims',
  counts: (name) =>
    CLAIMS.includes(name) || /\.storageclass\.storage\.k8s\.io\/(requests\.storage|persistentvolumeclaims)$/.test(name),
  usage: (object) => claimUsage(object as IPersistentVolumeClaim),
  matchesScope: (object, requirement) =>
    requirement.scopeName === 'VolumeAttributesClass' &&
    matchesValue((object as IPersistentVolumeClaim).spec?.volumeAttributesClassName, requirement),
  chargesUpdate: (subresource) => subresource === '',
};

/** Kinds that quotas count under their own name too, as they did before there was `count/`. */
const PLAIN_NAMES = ['configmaps', 'replicationcontrollers', 'resourcequotas', 'secrets'];
const SPECIAL = [pods, services, claims];

/** How objects of any kind are charged: pods, Services and claims for what they are, all others for being there. */
export function evaluatorFor({ group, resource }: GroupResource): QuotaEvaluator {
  const special = group === '' ? SPECIAL.find((evaluator) => evaluator.resource === resource) : undefined;
  return special ?? objectCount({ group, resource });
}

const countName = ({ group, resource }: GroupResource): string =>
  group === '' ? `count/${resource}` : `count/${resource}.${group}`;

function objectCount({ group, resource }: GroupResource): QuotaEvaluator {
  const names = [countName({ group, resource })];
  if (group === '' && PLAIN_NAMES.includes(resource)) names.push(resource);
  const usage: Amounts = new Map(names.map((name) => [name, ONE]));
  return { group, resource, counts: (name) => names.includes(name), usage: () => usage, matchesScope: NO_SCOPE };
}

/** Which kind a name in `hard` speaks of; undefined for what nobody counts. */
export function kindCountedBy(name: string): GroupResource | undefined {
  const special = SPECIAL.find((evaluator) => evaluator.counts(name));
  if (special !== undefined) return special;
  if (PLAIN_NAMES.includes(name)) return { group: '', resource: name };
  if (!name.startsWith('count/')) return undefined;
  const [resource = '', ...group] = name.slice('count/'.length).split('.');
  return { group: group.join('.'), resource };
}
