import { describe, expect, test } from 'vitest';
import type { Answer } from '../../server/testing/test-server.ts';
import type { ContractSuite, PatchType } from './contract-target.ts';
import { configMap, configMapsOf, deployment, deploymentsOf, pod, podsOf } from './samples.ts';

const container = (name: string, more: object = {}) => ({ name, image: `${name}:1`, ...more });

/** A template to patch: what becomes of lists, maps and unions in it. */
const template = (spec: object) => {
  const object = deployment('a');
  return {
    ...object,
    spec: { ...object.spec, template: { ...object.spec.template, spec: { ...object.spec.template.spec, ...spec } } },
  };
};

const namesOf = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name);

export function describePatch({ api }: ContractSuite): void {
  const patched = async (start: object, type: PatchType, patch: object): Promise<Answer> => {
    const ns = await api().namespace();
    await api().expect(201, api().post(deploymentsOf(ns), start));
    return api().expect(200, api().patch(`${deploymentsOf(ns)}/a`, type, patch));
  };
  const podSpec = async (start: object, patch: object): Promise<Answer> =>
    (await patched(template(start), 'strategic', { spec: { template: { spec: patch } } })).spec.template.spec;

  describe('a JSON patch', () => {
    test('adds, replaces, removes, moves, copies and tests', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { one: '1', two: '2' })));
      const path = `${configMapsOf(ns)}/a`;
      const all = [
        { op: 'test', path: '/data/one', value: '1' },
        { op: 'add', path: '/data/three', value: '3' },
        { op: 'replace', path: '/data/one', value: '11' },
        { op: 'copy', from: '/data/one', path: '/metadata/annotations/example.com~1copied' },
        { op: 'move', from: '/data/two', path: '/data/moved' },
        { op: 'remove', path: '/data/three' },
      ];
      await api().expect(422, api().patch(path, 'json', all));
      const annotations = { op: 'add', path: '/metadata/annotations', value: {} };
      const object = await api().expect(200, api().patch(path, 'json', [annotations, ...all]));
      expect(object.data).toEqual({ one: '11', moved: '2' });
      expect(object.metadata.annotations).toEqual({ 'example.com/copied': '11' });
    });

    test.each([
      ['whose test fails', [{ op: 'test', path: '/data/one', value: 'x' }], 422],
      ['of a path that is not there', [{ op: 'remove', path: '/data/none' }], 422],
      ['that is no list', { op: 'remove', path: '/data/one' }, 400],
      ['with an operation that there is none of', [{ op: 'shuffle', path: '/data/one' }], 400],
      [
        'of more than 10,000 operations',
        Array.from({ length: 10_001 }, () => ({ op: 'test', path: '/kind', value: 'ConfigMap' })),
        413,
      ],
    ])('%s is refused as a whole', async (_what, patch, status) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { one: '1' })));
      await api().expect(status, api().patch(`${configMapsOf(ns)}/a`, 'json', patch));
      expect((await api().expect(200, api().get(`${configMapsOf(ns)}/a`))).data).toEqual({ one: '1' });
    });
  });

  describe('a merge patch', () => {
    test('sets, removes with null, and replaces lists', async () => {
      const { spec } = await patched(template({ containers: [container('one'), container('two')] }), 'merge', {
        spec: { minReadySeconds: 3, paused: null, template: { spec: { containers: [container('three')] } } },
      });
      expect(spec).toMatchObject({ minReadySeconds: 3, replicas: 0 });
      expect(spec).not.toHaveProperty('paused');
      expect(namesOf(spec.template.spec.containers)).toEqual(['three']);
    });

    test('that is no object is 400', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      await api().expect(400, api().patch(`${configMapsOf(ns)}/a`, 'merge', []));
      await api().expect(400, api().patch(`${configMapsOf(ns)}/a`, 'merge', '{'));
    });
  });

  describe('a strategic merge patch', () => {
    test('merges a list by its key, new items before those that it does not name', async () => {
      const { containers } = await podSpec(
        { containers: [container('one', { env: [{ name: 'A', value: '1' }] }), container('two')] },
        {
          containers: [
            { name: 'three', image: 'x' },
            { name: 'one', env: [{ name: 'B', value: '2' }] },
          ],
        },
      );
      expect(namesOf(containers).toSorted()).toEqual(['one', 'three', 'two']);
      const one = containers.find(({ name }: { name: string }) => name === 'one');
      expect(namesOf(one.env).toSorted()).toEqual(['A', 'B']);
      expect(one.image).toBe('one:1');
    });

    test('$patch: delete takes an item out of a list', async () => {
      const { containers } = await podSpec(
        { containers: [container('one'), container('two')] },
        { containers: [{ name: 'one', $patch: 'delete' }] },
      );
      expect(namesOf(containers)).toEqual(['two']);
    });

    test('$patch: delete empties an object', async () => {
      const { containers } = await podSpec(
        { containers: [container('one', { resources: { limits: { cpu: '1' } } })] },
        { containers: [{ name: 'one', resources: { $patch: 'delete' } }] },
      );
      expect(containers[0].resources).toEqual({});
    });

    test('$patch: replace replaces a list, and an object', async () => {
      const replaced = await podSpec(
        { containers: [container('one'), container('two')], nodeSelector: { a: '1', b: '2' } },
        { containers: [{ $patch: 'replace' }, container('three')], nodeSelector: { $patch: 'replace', c: '3' } },
      );
      expect(namesOf(replaced.containers)).toEqual(['three']);
      expect(replaced.nodeSelector).toEqual({ c: '3' });
    });

    test('$patch: merge is what happens anyway', async () => {
      const { nodeSelector } = await podSpec(
        { nodeSelector: { a: '1' } },
        { nodeSelector: { $patch: 'merge', b: '2' } },
      );
      expect(nodeSelector).toEqual({ a: '1', b: '2' });
    });

    test('$retainKeys drops the other members of a union', async () => {
      const { spec } = await patched(
        {
          ...template({}),
          spec: { ...template({}).spec, strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 2 } } },
        },
        'strategic',
        { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } },
      );
      expect(spec.strategy).toEqual({ type: 'Recreate' });
    });

    test('$retainKeys changes the source of a volume', async () => {
      const { volumes } = await podSpec(
        { volumes: [{ name: 'v', emptyDir: {} }] },
        { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] },
      );
      expect(volumes[0]).toMatchObject({ name: 'v', configMap: { name: 'c' } });
      expect(volumes[0]).not.toHaveProperty('emptyDir');
    });

    test('$setElementOrder orders a list of objects', async () => {
      const { containers } = await podSpec(
        { containers: [container('one'), container('two'), container('three')] },
        {
          '$setElementOrder/containers': [{ name: 'three' }, { name: 'one' }, { name: 'two' }, { name: 'four' }],
          containers: [container('four')],
        },
      );
      expect(namesOf(containers)).toEqual(['three', 'one', 'two', 'four']);
    });

    test('$deleteFromPrimitiveList takes values out, $setElementOrder orders them', async () => {
      const ns = await api().namespace();
      const finalizers = ['example.com/a', 'example.com/b', 'example.com/c'];
      await api().expect(201, api().post(configMapsOf(ns), { ...configMap('a'), metadata: { name: 'a', finalizers } }));
      const { metadata } = await api().expect(
        200,
        api().patch(`${configMapsOf(ns)}/a`, 'strategic', {
          metadata: {
            '$deleteFromPrimitiveList/finalizers': ['example.com/b'],
            '$setElementOrder/finalizers': ['example.com/c', 'example.com/a'],
          },
        }),
      );
      expect(metadata.finalizers).toEqual(['example.com/c', 'example.com/a']);
      const more = { metadata: { finalizers: ['example.com/d'] } };
      const merged = await api().expect(200, api().patch(`${configMapsOf(ns)}/a`, 'strategic', more));
      expect(merged.metadata.finalizers.toSorted()).toEqual(['example.com/a', 'example.com/c', 'example.com/d']);
      await api().expect(200, api().patch(`${configMapsOf(ns)}/a`, 'merge', { metadata: { finalizers: null } }));
    });

    test('null removes a field and a key of a map', async () => {
      const { nodeSelector, schedulerName } = await podSpec(
        { nodeSelector: { a: '1', b: '2' }, schedulerName: 'x' },
        { nodeSelector: { a: null }, schedulerName: null },
      );
      expect([nodeSelector, schedulerName]).toEqual([{ b: '2' }, 'default-scheduler']);
    });

    test.each([
      ['an unknown directive', { containers: [{ name: 'one', $patch: 'shuffle' }] }],
      ['an item without its key', { containers: [{ image: 'x' }] }],
      ['$retainKeys that is no list', { $retainKeys: 'x' }],
      [
        '$setElementOrder that does not name the items',
        { '$setElementOrder/containers': [{ name: 'two' }], containers: [{ name: 'one' }] },
      ],
    ])('with %s is refused', async (_what, patch) => {
      const ns = await api().namespace();
      await api().expect(
        201,
        api().post(deploymentsOf(ns), template({ containers: [container('one'), container('two')] })),
      );
      const body = { spec: { template: { spec: patch } } };
      const { status } = await api().patch(`${deploymentsOf(ns)}/a`, 'strategic', body);
      expect([400, 422]).toContain(status);
    });
  });

  describe.each(['json', 'merge', 'strategic'] as const)('a %s patch', (type) => {
    const setKey = (key: string, value: string) =>
      type === 'json' ? [{ op: 'add', path: `/data/${key}`, value }] : { data: { [key]: value } };

    test('of what is not there is 404', async () => {
      const ns = await api().namespace();
      await api().expect(404, api().patch(`${configMapsOf(ns)}/a`, type, setKey('k', '1')));
    });

    test('that changes nothing keeps the resourceVersion', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      expect(await api().expect(200, api().patch(`${configMapsOf(ns)}/a`, type, setKey('k', '1')))).toEqual(object);
    });

    test('of twenty at once loses none: conflicts are retried by the server', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const keys = Array.from({ length: 20 }, (_, i) => `key-${i}`);
      await Promise.all(
        keys.map((key) => api().expect(200, api().patch(`${configMapsOf(ns)}/a`, type, setKey(key, 'x')))),
      );
      expect(Object.keys((await api().expect(200, api().get(`${configMapsOf(ns)}/a`))).data).sort()).toEqual(
        ['k', ...keys].sort(),
      );
    });

    test('that names a stale resourceVersion is 409, one that changes the uid 422', async () => {
      const ns = await api().namespace();
      const { metadata } = await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      await api().expect(200, api().patch(`${configMapsOf(ns)}/a`, type, setKey('k', '2')));
      const stale = (field: string, value: string) =>
        type === 'json'
          ? [
              { op: 'replace', path: `/metadata/${field}`, value },
              { op: 'add', path: '/data/k', value: '3' },
            ]
          : { metadata: { [field]: value }, data: { k: '3' } };
      await api().expect(
        409,
        api().patch(`${configMapsOf(ns)}/a`, type, stale('resourceVersion', metadata.resourceVersion)),
      );
      const refusal = await api().expect(422, api().patch(`${configMapsOf(ns)}/a`, type, stale('uid', 'other')));
      expect(refusal.message).toContain('metadata.uid: Invalid value: "other": field is immutable');
    });

    test('may not force', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const { message } = await api().expect(
        422,
        api().patch(`${configMapsOf(ns)}/a?force=true`, type, setKey('k', '2')),
      );
      expect(message).toBe(
        'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch',
      );
    });

    test('of the status leaves the spec alone', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(podsOf(ns), pod('a', 'nowhere')));
      const patch =
        type === 'json'
          ? [
              { op: 'add', path: '/status/podIP', value: '10.1.2.3' },
              { op: 'add', path: '/spec/containers/0/image', value: 'x' },
            ]
          : { status: { podIP: '10.1.2.3' }, spec: { containers: [{ name: 'main', image: 'x' }] } };
      expect(await api().expect(200, api().patch(`${podsOf(ns)}/a/status`, type, patch))).toMatchObject({
        status: { podIP: '10.1.2.3' },
        spec: { containers: [{ image: 'main:1' }] },
      });
    });

    test('of the scale changes the replicas, not of what is not there', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a/scale`;
      const patch = type === 'json' ? [{ op: 'add', path: '/spec/replicas', value: 3 }] : { spec: { replicas: 3 } };
      await api().expect(404, api().patch(path, type, patch));
      await api().expect(201, api().post(deploymentsOf(ns), deployment('a')));
      expect(await api().expect(200, api().patch(path, type, patch))).toMatchObject({
        kind: 'Scale',
        spec: { replicas: 3 },
      });
      expect((await api().expect(200, api().get(`${deploymentsOf(ns)}/a`))).spec.replicas).toBe(3);
    });
  });

  test('a patch of a type that there is none of is 415 and names the others', async () => {
    const ns = await api().namespace();
    await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
    const headers = { 'content-type': 'application/json' };
    const call = { method: 'PATCH', path: `${configMapsOf(ns)}/a`, body: '{}', headers } as const;
    const { message } = await api().expect(415, api().send(call));
    expect(message).toContain(
      'application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml',
    );
  });
}
