import type { NewValue, Store, StoredObject, StoreEvent, WriteDecision, WriteResult } from '../store.ts';
import type { Classification } from '../stored-value.ts';

/** The part of objects that the contract's tests use. */
interface Sample {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly labels?: Record<string, string> };
  readonly spec?: { readonly nodeName?: string };
}

/** Labels and fields of a test object, found as an API server would. */
export function classifySample(_key: string, object: unknown): Classification {
  const { metadata, spec } = object as Sample;
  return {
    labels: metadata.labels ?? {},
    fields: {
      'metadata.name': metadata.name,
      'metadata.namespace': metadata.namespace ?? '',
      'spec.nodeName': spec?.nodeName ?? '',
    },
  };
}

export function sampleValue(
  kind: string,
  name: string,
  content: object = {},
  durability: NewValue['durability'] = 'durable',
): NewValue {
  const object = { apiVersion: 'v1', kind, metadata: { name, namespace: 'default' }, ...content };
  return { bytes: new TextEncoder().encode(JSON.stringify(object)), durability, ...classifySample('', object) };
}

export const podKey = (name: string) => `/registry/pods/default/${name}`;
export const leaseKey = (name: string) => `/registry/leases/default/${name}`;
export const eventKey = (name: string) => `/registry/events/default/${name}`;

export function putPod(store: Store, name: string, spec: object = {}): Promise<WriteResult> {
  return store.write(podKey(name), () => ({ kind: 'put', value: sampleValue('Pod', name, { spec }) }));
}

export function putLease(store: Store, name: string, renewal: number, durability: NewValue['durability']) {
  const value = sampleValue('Lease', name, { spec: { renewTime: renewal } }, durability);
  return store.write(leaseKey(name), () => ({ kind: 'put', value }));
}

export const remove = (): WriteDecision => ({ kind: 'delete' });

/** Everything a watch of `prefix` delivers, in order. */
export function recordEvents(
  store: Store,
  prefix: string,
  options: { readonly fromRevision?: number; readonly nodeName?: string } = {},
): StoreEvent[] {
  const events: StoreEvent[] = [];
  store.watch({
    prefix,
    fromRevision: options.fromRevision ?? store.revision,
    ...(options.nodeName === undefined ? {} : { field: { name: 'spec.nodeName', value: options.nodeName } }),
    onEvent: (event) => events.push(event),
    onClose() {},
  });
  return events;
}

export const nameOf = (object: StoredObject | undefined) => object?.fields['metadata.name'];
export const specOf = (object: StoredObject | undefined) => (object?.object() as { spec?: unknown } | undefined)?.spec;
