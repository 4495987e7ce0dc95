import type { IContainer } from 'kubernetes-models/v1/Container';
import type { ILimitRange } from 'kubernetes-models/v1/LimitRange';
import { type PodResourceShape, podLimits, podRequests, type ResourceList } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { forbidden } from '#api/object/api-error.ts';
import type { Pod } from '#api/object/kinds.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin, AdmissionRequest, AdmissionTarget } from './admission-plugin.ts';
import { isPodRequest } from './pod-request.ts';

type Item = NonNullable<ILimitRange['spec']>['limits'][number];
type PodSpec = NonNullable<Pod['spec']>;
type Amounts = ReadonlyMap<string, Quantity>;

/** What somebody asks for, and at most gets. */
interface Usage {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

const ANNOTATION = 'kubernetes.io/limit-ranger';

const isClaimRequest = ({ resource }: AdmissionTarget): boolean =>
  resource.group === '' && resource.resource === 'persistentvolumeclaims';

/** Containers of a pod that exists can be resized, nothing else of them changes. */
function handles(target: AdmissionTarget): boolean {
  const { operation, subresource } = target;
  if (isPodRequest(target)) {
    return (operation === 'CREATE' && subresource === '') || (operation === 'UPDATE' && subresource === 'resize');
  }
  return isClaimRequest(target) && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE');
}

const parseList = (list: object | undefined): Amounts =>
  new Map(
    Object.entries((list ?? {}) as ResourceList)
      .map(([name, amount]) => [name, Quantity.parse(amount)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );

/** Containers get the defaults of their namespace, and what is asked for stays within its bounds. */
export function limitRanger({ store }: { readonly store: Pick<Store, 'snapshot'> }): AdmissionPlugin {
  const itemsOf = (namespace: string): readonly Item[] =>
    [...store.snapshot().range(`/registry/limitranges/${namespace}/`)].flatMap(
      (stored) => (stored.object() as ILimitRange).spec?.limits ?? [],
    );
  return {
    name: 'LimitRanger',
    handles,
    admit(request) {
      const pod = request.object as unknown as Pod;
      if (!isPodRequest(request) || pod.spec === undefined) return;
      setDefaults(pod, pod.spec, itemsOf(request.namespace));
    },
    validate(request) {
      if (request.operation === 'UPDATE' && request.oldObject?.metadata.deletionTimestamp !== undefined) return;
      const errors = itemsOf(request.namespace).flatMap((item) => findViolations(item, request));
      if (errors.length === 0) return;
      const why = errors.length === 1 ? (errors[0] as string) : `[${errors.join(', ')}]`;
      throw forbidden(request.resource, request.name, why);
    },
  };
}

/** Where several ranges default the same resource, the last one wins, as it would in Kubernetes. Changes the pod in place. */
function setDefaults(pod: Pod, spec: PodSpec, items: readonly Item[]): void {
  const ofContainers = items.filter(({ type }) => type === 'Container');
  const limits = Object.assign({}, ...ofContainers.map((item) => item.default ?? {})) as ResourceList;
  const requests = Object.assign({}, ...ofContainers.map((item) => item.defaultRequest ?? {})) as ResourceList;
  const notes = [
    ...(spec.containers ?? []).flatMap((one) => defaultContainer(one as IContainer, 'container', requests, limits)),
    ...(spec.initContainers ?? []).flatMap((one) =>
      defaultContainer(one as IContainer, 'init container', requests, limits),
    ),
  ];
  if (notes.length === 0) return;
  const note = `LimitRanger plugin set: ${notes.join('; ')}`;
  pod.metadata.annotations = { ...pod.metadata.annotations, [ANNOTATION]: note };
}

/** Answers what was set, in words. */
function defaultContainer(
  container: IContainer,
  title: string,
  requests: ResourceList,
  limits: ResourceList,
): readonly string[] {
  const notes: string[] = [];
  for (const [field, defaults] of [
    ['requests', requests],
    ['limits', limits],
  ] as const) {
    const own = (container.resources?.[field] ?? {}) as ResourceList;
    const missing = Object.keys(defaults).filter((name) => own[name] === undefined);
    if (missing.length === 0) continue;
    const filled = { ...own, ...Object.fromEntries(missing.map((name) => [name, defaults[name]])) };
    container.resources = { ...container.resources, [field]: filled as never };
    notes.push(`${missing.sort().join(', ')} ${field.slice(0, -1)} for ${title} ${container.name}`);
  }
  return notes;
}

function findViolations(item: Item, request: AdmissionRequest): readonly string[] {
  if (isClaimRequest(request)) {
    if (item.type !== 'PersistentVolumeClaim') return [];
    const { spec } = request.object as { spec?: { resources?: { requests?: object } } };
    return [...claimViolations(item, parseList(spec?.resources?.requests))];
  }
  const { spec } = request.object as unknown as Pod;
  if (spec === undefined) return [];
  if (item.type === 'Pod') return [...violations(item, podUsage(spec as unknown as PodResourceShape))];
  if (item.type !== 'Container') return [];
  return [...(spec.containers ?? []), ...(spec.initContainers ?? [])].flatMap(({ resources }) => [
    ...violations(item, { requests: parseList(resources?.requests), limits: parseList(resources?.limits) }),
  ]);
}

function podUsage(spec: PodResourceShape): Usage {
  const options = { withOverhead: false };
  return { requests: podRequests(spec, options), limits: podLimits(spec, options) };
}

function* violations(item: Item, usage: Usage): Iterable<string> {
  for (const [name, bound] of parseList(item.min)) yield* belowMinimum(item.type, name, bound, usage);
  for (const [name, bound] of parseList(item.max)) yield* aboveMaximum(item.type, name, bound, usage);
  for (const [name, bound] of parseList(item.maxLimitRequestRatio)) yield* beyondRatio(item.type, name, bound, usage);
}

function* belowMinimum(type: string, name: string, bound: Quantity, { requests, limits }: Usage): Iterable<string> {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const rule = `minimum ${name} usage per ${type} is ${bound}`;
  if (request === undefined) yield `${rule}.  No request is specified`;
  else if (request.compare(bound) < 0) yield `${rule}, but request is ${request}`;
  else if (limit !== undefined && limit.compare(bound) < 0) yield `${rule}, but limit is ${limit}`;
}

function* aboveMaximum(type: string, name: string, bound: Quantity, { requests, limits }: Usage): Iterable<string> {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const rule = `maximum ${name} usage per ${type} is ${bound}`;
  if (limit === undefined) yield `${rule}.  No limit is specified`;
  else if (limit.compare(bound) > 0) yield `${rule}, but limit is ${limit}`;
  else if (request !== undefined && request.compare(bound) > 0) yield `${rule}, but request is ${request}`;
}

function* beyondRatio(type: string, name: string, bound: Quantity, { requests, limits }: Usage): Iterable<string> {
  const [request, limit] = [requests.get(name), limits.get(name)];
  const rule = `${name} max limit to request ratio per ${type} is ${bound}`;
  if (request === undefined || request.isZero) yield `${rule}, but no request is specified or request is 0`;
  else if (limit === undefined || limit.isZero) yield `${rule}, but no limit is specified or limit is 0`;
  else {
    const ratio = Number(limit.nano) / Number(request.nano);
    if (ratio > Number(bound.nano) / 1e9) yield `${rule}, but provided ratio is ${ratio.toFixed(6)}`;
  }
}

/** Claims have no limits: what they ask for is what they get. */
function* claimViolations(item: Item, requests: Amounts): Iterable<string> {
  const usage = { requests, limits: new Map<string, Quantity>() };
  for (const [name, bound] of parseList(item.min)) yield* belowMinimum(item.type, name, bound, usage);
  for (const [name, bound] of parseList(item.max)) {
    const request = requests.get(name);
    const rule = `maximum ${name} usage per ${item.type} is ${bound}`;
    if (request === undefined) yield `${rule}.  No request is specified`;
    else if (request.compare(bound) > 0) yield `${rule}, but request is ${request}`;
  }
}
