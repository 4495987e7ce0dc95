import { beforeEach, describe, expect, it } from 'vitest';
import type { KubeObject } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import { fakeContext } from '../testing/fake-request.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import type { AdmissionOperation, AdmissionPlugin, AdmissionRequest } from './admission-plugin.ts';
import { claimResize } from './claim-resize.ts';
import { defaultIngressClass, defaultStorageClass } from './default-class.ts';
import { runtimeClass } from './runtime-class.ts';

let seeded: SeededStore;
beforeEach(() => {
  seeded = new SeededStore();
});

const KINDS = {
  pods: ['', 'Pod'],
  persistentvolumeclaims: ['', 'PersistentVolumeClaim'],
  ingresses: ['networking.k8s.io', 'Ingress'],
} as const;

function run(
  plugin: AdmissionPlugin,
  resource: keyof typeof KINDS,
  { object, oldObject }: { readonly object: object; readonly oldObject?: object },
): KubeObject {
  const [group, kind] = KINDS[resource];
  const operation: AdmissionOperation = oldObject === undefined ? 'CREATE' : 'UPDATE';
  const request: AdmissionRequest = {
    operation,
    resource: defineResource({ group, version: 'v1', resource, kind, namespaced: true }),
    subresource: '',
    namespace: 'n',
    name: 'x',
    user: { name: 'ann', groups: [] },
    object: object as KubeObject,
    oldObject: oldObject as KubeObject | undefined,
    dryRun: false,
    context: fakeContext(),
  };
  expect(plugin.handles(request)).toBe(true);
  plugin.admit?.(request);
  plugin.validate?.(request);
  return request.object as KubeObject;
}

const classObject = (name: string, annotation: string, createdAt = '2026-01-01T00:00:00Z') => ({
  metadata: { name, creationTimestamp: createdAt, annotations: { [annotation]: 'true' } },
});
const IS_DEFAULT = 'storageclass.kubernetes.io/is-default-class';

describe('DefaultStorageClass', () => {
  const claim = (spec: object = {}, annotations: object = {}) => ({ metadata: { name: 'x', annotations }, spec });

  it.each<[string, ReturnType<typeof claim>, string | undefined]>([
    ['gives a claim the newest default', claim(), 'new'],
    ['leaves a named class', claim({ storageClassName: 'mine' }), 'mine'],
    ['leaves a claim that wants none', claim({ storageClassName: '' }), ''],
    ['leaves a class named the old way', claim({}, { 'volume.beta.kubernetes.io/storage-class': 'mine' }), undefined],
  ])('%s', async (_, object, expected) => {
    await seeded.put('/registry/storageclasses/old', classObject('old', IS_DEFAULT));
    await seeded.put('/registry/storageclasses/new', classObject('new', IS_DEFAULT, '2026-02-01T00:00:00Z'));
    await seeded.put('/registry/storageclasses/other', { metadata: { name: 'other' } });
    const admitted = run(defaultStorageClass(seeded), 'persistentvolumeclaims', { object });
    expect((admitted.spec as { storageClassName?: string }).storageClassName).toBe(expected);
  });

  it('does without a default', () => {
    expect(run(defaultStorageClass(seeded), 'persistentvolumeclaims', { object: claim() }).spec).toEqual({});
  });
});

describe('DefaultIngressClass', () => {
  it('gives an Ingress the first of two defaults of one age', async () => {
    const annotation = 'ingressclass.kubernetes.io/is-default-class';
    await seeded.put('/registry/ingressclasses/b', classObject('b', annotation));
    await seeded.put('/registry/ingressclasses/a', classObject('a', annotation));
    const plugin = defaultIngressClass(seeded);
    expect(run(plugin, 'ingresses', { object: { metadata: {}, spec: {} } }).spec).toEqual({ ingressClassName: 'a' });
    const annotations = { 'kubernetes.io/ingress.class': 'mine' };
    expect(run(plugin, 'ingresses', { object: { metadata: { annotations }, spec: {} } }).spec).toEqual({});
  });
});

describe('PersistentVolumeClaimResize', () => {
  const claim = (storage: string, phase = 'Bound', storageClassName = 'grows') => ({
    metadata: { name: 'x' },
    spec: { storageClassName, resources: { requests: { storage } } },
    status: { phase },
  });

  it.each<[string, object, object, string | undefined]>([
    ['grows a bound claim', claim('2Gi'), claim('1Gi'), undefined],
    ['does not care for one that stays', claim('1024Mi', 'Pending'), claim('1Gi', 'Pending'), undefined],
    ['refuses before it is bound', claim('2Gi'), claim('1Gi', 'Pending'), 'Only bound persistent volume claims'],
    [
      'refuses where the class cannot',
      claim('2Gi', 'Bound', 'fixed'),
      claim('1Gi', 'Bound', 'fixed'),
      'must support resize',
    ],
  ])('%s', async (_, object, oldObject, refusal) => {
    await seeded.put('/registry/storageclasses/grows', { metadata: { name: 'grows' }, allowVolumeExpansion: true });
    await seeded.put('/registry/storageclasses/fixed', { metadata: { name: 'fixed' } });
    const admit = () => run(claimResize(seeded), 'persistentvolumeclaims', { object, oldObject });
    if (refusal === undefined) expect(admit()).toBe(object);
    else expect(admit).toThrow(refusal);
  });
});

describe('RuntimeClass', () => {
  const pod = (spec: object) => ({ metadata: { name: 'x' }, spec: { containers: [], ...spec } });
  const sandboxed = { runtimeClassName: 'vm' };
  const overhead = { memory: '64Mi' };

  beforeEach(() =>
    seeded.put('/registry/runtimeclasses/vm', {
      metadata: { name: 'vm' },
      handler: 'kata',
      overhead: { podFixed: overhead },
      scheduling: { nodeSelector: { vm: 'yes' }, tolerations: [{ key: 'vm', operator: 'Exists' }] },
    }),
  );

  it('gives a pod the overhead and the place of its class', () => {
    const { spec } = run(runtimeClass(seeded), 'pods', {
      object: pod({ ...sandboxed, nodeSelector: { a: 'b' } }),
    });
    expect(spec).toMatchObject({
      overhead,
      nodeSelector: { a: 'b', vm: 'yes' },
      tolerations: [{ key: 'vm', operator: 'Exists' }],
    });
  });

  it.each<[string, object, string]>([
    ['a class that is missing', { runtimeClassName: 'none' }, 'pod rejected: RuntimeClass "none" not found'],
    [
      'another overhead',
      { ...sandboxed, overhead: { memory: '1Mi' } },
      "doesn't match RuntimeClass's defined Overhead",
    ],
    [
      'another place',
      { ...sandboxed, nodeSelector: { vm: 'no' } },
      'conflict: runtimeClass.scheduling.nodeSelector[vm] = yes',
    ],
    ['overhead without a class', { overhead }, 'Pod Overhead set without corresponding RuntimeClass'],
  ])('refuses %s', (_, spec, message) => {
    expect(() => run(runtimeClass(seeded), 'pods', { object: pod(spec) })).toThrow(message);
  });
});
