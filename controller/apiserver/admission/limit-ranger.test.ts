import { beforeEach, describe, expect, it } from 'vitest';
import { defineResource } from '../registry/define-resource.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import type { AdmissionRequest } from './admission-plugin.ts';
import { limitRanger } from './limit-ranger.ts';

const PODS = defineResource({ group: '', version: 'v1', resource: 'pods', kind: 'Pod', namespaced: true });
const CLAIMS = defineResource({
  group: '',
  version: 'v1',
  resource: 'persistentvolumeclaims',
  kind: 'PersistentVolumeClaim',
  namespaced: true,
});

let seeded: SeededStore;
beforeEach(() => {
  seeded = new SeededStore();
});

const limit = (name: string, ...limits: object[]) =>
  seeded.put(`/registry/limitranges/n/${name}`, { metadata: { name, namespace: 'n' }, spec: { limits } });

function admit(object: object, facts: Partial<AdmissionRequest> = {}) {
  const request = {
    operation: 'CREATE',
    resource: PODS,
    subresource: '',
    namespace: 'n',
    name: 'x',
    object,
    oldObject: undefined,
    ...facts,
  } as AdmissionRequest;
  const plugin = limitRanger(seeded);
  if (!plugin.handles(request)) return undefined;
  plugin.admit?.(request);
  plugin.validate?.(request);
  return request.object;
}

const container = (resources: object = {}, name = 'c') => ({ name, image: 'i', resources });
const pod = (spec: object) => ({ metadata: { name: 'x', namespace: 'n' }, spec });

describe('LimitRanger', () => {
  it('fills in defaults where a container says nothing, and says so', async () => {
    await limit('l', { type: 'Container', default: { cpu: '1', memory: '1Gi' }, defaultRequest: { cpu: '500m' } });
    const admitted = admit(
      pod({
        containers: [container(), container({ limits: { cpu: '2' } }, 'd')],
        initContainers: [container({}, 'i')],
      }),
    );
    expect(admitted?.spec).toMatchObject({
      containers: [
        { resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } } },
        { resources: { limits: { cpu: '2', memory: '1Gi' }, requests: { cpu: '500m' } } },
      ],
      initContainers: [{ resources: { limits: { cpu: '1', memory: '1Gi' }, requests: { cpu: '500m' } } }],
    });
    expect(admitted?.metadata.annotations?.['kubernetes.io/limit-ranger']).toBe(
      'LimitRanger plugin set: cpu request for container c; cpu, memory limit for container c; ' +
        'cpu request for container d; memory limit for container d; ' +
        'cpu request for init container i; cpu, memory limit for init container i',
    );
  });

  it.each<[string, object, object, string]>([
    [
      'a limit beyond the maximum',
      { type: 'Container', max: { cpu: '1' } },
      { containers: [container({ limits: { cpu: '2' } })] },
      'pods "x" is forbidden: maximum cpu usage per Container is 1, but limit is 2',
    ],
    [
      'no limit where there is a maximum',
      { type: 'Container', max: { cpu: '1' } },
      { containers: [container()] },
      'maximum cpu usage per Container is 1.  No limit is specified',
    ],
    [
      'a request below the minimum, in an init container',
      { type: 'Container', min: { memory: '1Gi' } },
      {
        containers: [container({ requests: { memory: '2Gi' } })],
        initContainers: [container({ requests: { memory: '1Mi' } })],
      },
      'minimum memory usage per Container is 1Gi, but request is 1Mi',
    ],
    [
      'too wide a span',
      { type: 'Container', maxLimitRequestRatio: { cpu: '2' } },
      { containers: [container({ limits: { cpu: '3' }, requests: { cpu: '1' } })] },
      'cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000',
    ],
    [
      'the sum of a pod',
      { type: 'Pod', max: { cpu: '3' } },
      { containers: [container({ limits: { cpu: '2' } }, 'a'), container({ limits: { cpu: '2' } }, 'b')] },
      'maximum cpu usage per Pod is 3, but limit is 4',
    ],
    [
      'two findings at once',
      { type: 'Container', min: { cpu: '2', memory: '1Gi' } },
      { containers: [container({ requests: { cpu: '1' } })] },
      '[minimum cpu usage per Container is 2, but request is 1, minimum memory usage per Container is 1Gi.  No request is specified]',
    ],
  ])('refuses %s', async (_, item, spec, message) => {
    await limit('l', item);
    expect(() => admit(pod(spec))).toThrow(message);
  });

  it('bounds claims, when they are made and when they grow', async () => {
    await limit('l', { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } });
    const claim = (storage: string) => ({ metadata: {}, spec: { resources: { requests: { storage } } } });
    const ask = (storage: string, operation: 'CREATE' | 'UPDATE' = 'CREATE') =>
      admit(claim(storage), { resource: CLAIMS, operation, oldObject: claim('1Gi') as never });
    expect(() => ask('3Gi')).toThrow(
      'persistentvolumeclaims "x" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi',
    );
    expect(() => ask('4Gi', 'UPDATE')).toThrow('maximum storage usage');
    expect(() => ask('1Mi')).toThrow('minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi');
    ask('2Gi');
  });

  it('asks again at a resize, and leaves other updates of pods alone', async () => {
    await limit('l', { type: 'Container', max: { cpu: '1' } });
    const big = pod({ containers: [container({ limits: { cpu: '2' } })] });
    expect(admit(big, { operation: 'UPDATE' })).toBeUndefined();
    expect(() => admit(big, { operation: 'UPDATE', subresource: 'resize', oldObject: big as never })).toThrow(
      'maximum cpu',
    );
  });
});
