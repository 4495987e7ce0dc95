import { describe, expect, test } from 'vitest';
import type { Answer } from '../../server/testing/test-server.ts';
import type { ContractSuite } from './contract-target.ts';
import { configMap, configMapsOf, deployment, deploymentsOf, servicesOf } from './samples.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

const managersOf = ({ metadata }: Answer): string[] =>
  (metadata.managedFields ?? []).map(
    ({ manager, operation, subresource }: { manager: string; operation: string; subresource?: string }) =>
      `${manager} ${operation}${subresource === undefined ? '' : ` ${subresource}`}`,
  );

const fieldsOf = ({ metadata }: Answer, manager: string): Answer =>
  metadata.managedFields?.find((entry: { manager: string }) => entry.manager === manager)?.fieldsV1;

const service = (ports: readonly object[]) => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'a' },
  spec: { selector: { app: 'a' }, ports },
});

export function describeApply({ api }: ContractSuite): void {
  const data = (values: Record<string, string>) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'a' },
    data: values,
  });

  /** Names nothing: an empty map would be owned as such. */
  const bare = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' } };

  describe('server-side apply', () => {
    test('creates what is not there, with 201, and owns what it names', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'me', data({ k: '1' })));
      expect(object.metadata.managedFields).toEqual([
        {
          manager: 'me',
          operation: 'Apply',
          apiVersion: 'v1',
          fieldsType: 'FieldsV1',
          fieldsV1: { 'f:data': { 'f:k': {} } },
          time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        },
      ]);
    });

    test('takes YAML', async () => {
      const ns = await api().namespace();
      const yaml = 'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: "1"\n';
      expect((await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'me', yaml))).data).toEqual({ k: '1' });
    });

    test('done twice changes nothing, not even a time', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'me', data({ k: '1' })));
      await api().target.elapse(10_000);
      expect(await api().expect(200, api().apply(`${configMapsOf(ns)}/a`, 'me', data({ k: '1' })))).toEqual(object);
    });

    test('of a field that another manager owns with another value is 409 with the conflict as cause', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(`${configMapsOf(ns)}?fieldManager=first`, configMap('a', { k: '1' })));
      expect(await api().expect(409, api().apply(`${configMapsOf(ns)}/a`, 'me', data({ k: '2' })))).toMatchObject({
        reason: 'Conflict',
        message: 'Apply failed with 1 conflict: conflict with "first" using v1: .data.k',
        details: {
          causes: [{ reason: 'FieldManagerConflict', message: 'conflict with "first" using v1', field: '.data.k' }],
        },
      });
    });

    test('of a zero value over what another manager set is a conflict too', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'first', deployment('a')));
      const unpaused = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' }, spec: { paused: false } };
      const { message } = await api().expect(409, api().apply(path, 'me', unpaused));
      expect(message).toBe('Apply failed with 1 conflict: conflict with "first": .spec.paused');
    });

    test('names every conflict, grouped by manager', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'first', data({ a: '1', b: '1' })));
      await api().expect(200, api().apply(`${configMapsOf(ns)}/a`, 'second', data({ c: '1' })));
      const { message, details } = await api().expect(
        409,
        api().apply(`${configMapsOf(ns)}/a`, 'me', data({ a: '2', b: '2', c: '2' })),
      );
      expect(message).toBe(
        'Apply failed with 3 conflicts: conflicts with "first":\n- .data.a\n- .data.b\nconflicts with "second":\n- .data.c',
      );
      expect(details.causes).toHaveLength(3);
    });

    test('with force takes the field over', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'first', data({ k: '1' })));
      const object = await api().expect(
        200,
        api().apply(`${configMapsOf(ns)}/a`, 'me', data({ k: '2' }), '&force=true'),
      );
      expect([object.data.k, managersOf(object)]).toEqual(['2', ['me Apply']]);
    });

    test('with the same value shares the field; it stays until the last owner lets go', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'first', data({ k: '1' })));
      const shared = await api().expect(200, api().apply(path, 'second', data({ k: '1' })));
      expect(managersOf(shared).sort()).toEqual(['first Apply', 'second Apply']);
      const kept = await api().expect(200, api().apply(path, 'first', bare));
      expect([kept.data, managersOf(kept)]).toEqual([{ k: '1' }, ['second Apply']]);
      expect((await api().expect(200, api().apply(path, 'second', bare))).data).toBeUndefined();
    });

    test('transfers a field: the new owner applies it, the old one lets go', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'user', deployment('a')));
      const replicas = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'a' }, spec: { replicas: 0 } };
      await api().expect(200, api().apply(path, 'scaler', replicas));
      const { replicas: _, ...rest } = deployment('a').spec;
      await api().expect(200, api().apply(path, 'user', { ...deployment('a'), spec: rest }));
      await api().expect(200, api().apply(path, 'scaler', { ...replicas, spec: { replicas: 2 } }));
      const object = await api().expect(200, api().get(path));
      expect(object.spec.replicas).toBe(2);
      expect(fieldsOf(object, 'user')['f:spec']).not.toHaveProperty('f:replicas');
    });

    test('takes away what the configuration no longer names', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(
        201,
        api().apply(path, 'me', { ...data({ a: '1', b: '1' }), metadata: { name: 'a', labels: { x: 'y' } } }),
      );
      const object = await api().expect(200, api().apply(path, 'me', data({ b: '1' })));
      expect(object.data).toEqual({ b: '1' });
      expect(object.metadata).not.toHaveProperty('labels');
    });

    test('leaves what it never named, such as defaults', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().apply(`${deploymentsOf(ns)}/a`, 'me', deployment('a')));
      expect(object.spec.strategy.type).toBe('RollingUpdate');
      const again = await api().expect(200, api().apply(`${deploymentsOf(ns)}/a`, 'me', deployment('a', 'other:1')));
      expect(again.spec.strategy.type).toBe('RollingUpdate');
    });

    test('merges lists with keys item by item, each with its own owner', async () => {
      const ns = await api().namespace();
      const path = `${servicesOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'first', service([{ name: 'http', port: 80, protocol: 'TCP' }])));
      const both = await api().expect(
        200,
        api().apply(path, 'second', service([{ name: 'dns', port: 53, protocol: 'UDP' }])),
      );
      expect(both.spec.ports.map(({ name }: { name: string }) => name).sort()).toEqual(['dns', 'http']);
      expect(Object.keys(fieldsOf(both, 'second')['f:spec']['f:ports'])).toEqual(['k:{"port":53,"protocol":"UDP"}']);
      const { ports: _, ...rest } = service([]).spec;
      const one = await api().expect(200, api().apply(path, 'second', { ...service([]), spec: rest }));
      expect(one.spec.ports.map(({ name }: { name: string }) => name)).toEqual(['http']);
    });

    test('merges sets value by value', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const held = (...finalizers: string[]) => ({ ...bare, metadata: { name: 'a', finalizers } });
      await api().expect(201, api().apply(path, 'first', held('example.com/a', 'example.com/b')));
      const both = await api().expect(200, api().apply(path, 'second', held('example.com/b', 'example.com/c')));
      expect(both.metadata.finalizers.toSorted()).toEqual(['example.com/a', 'example.com/b', 'example.com/c']);
      const rest = await api().expect(200, api().apply(path, 'first', bare));
      expect(rest.metadata.finalizers.toSorted()).toEqual(['example.com/b', 'example.com/c']);
      await api().expect(200, api().patch(path, 'merge', { metadata: { finalizers: null } }));
    });

    test('treats atomic lists and maps as one field', async () => {
      const ns = await api().namespace();
      const path = `${servicesOf(ns)}/a`;
      const ranges = (...loadBalancerSourceRanges: string[]) => ({
        ...service([{ port: 80 }]),
        spec: { type: 'LoadBalancer', ports: [{ port: 80 }], loadBalancerSourceRanges },
      });
      await api().expect(201, api().apply(path, 'first', ranges('10.0.0.0/8')));
      const { message } = await api().expect(409, api().apply(path, 'second', ranges('11.0.0.0/8')));
      expect(message).toBe('Apply failed with 1 conflict: conflict with "first": .spec.loadBalancerSourceRanges');
      const forced = await api().expect(200, api().apply(path, 'second', ranges('11.0.0.0/8'), '&force=true'));
      expect(forced.spec.loadBalancerSourceRanges).toEqual(['11.0.0.0/8']);
    });

    test('of the status owns the status alone, under its subresource', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'me', deployment('a')));
      const status = {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'a' },
        spec: { minReadySeconds: 9 },
        status: { conditions: [{ type: 'Tested', status: 'True' }] },
      };
      const object = await api().expect(200, api().apply(`${path}/status`, 'me', status));
      expect(managersOf(object)).toContain('me Apply');
      expect(managersOf(object)).toContain('me Apply status');
      expect(object.spec).not.toHaveProperty('minReadySeconds');
      expect(object.status.conditions).toContainEqual(expect.objectContaining({ type: 'Tested' }));
      await api().expect(
        404,
        api().apply(`${deploymentsOf(ns)}/b/status`, 'me', { ...status, metadata: { name: 'b' } }),
      );
    });

    test('of the main resource drops the status that it names', async () => {
      const ns = await api().namespace();
      const object = await api().expect(
        201,
        api().apply(`${deploymentsOf(ns)}/a`, 'me', { ...deployment('a'), status: { collisionCount: 7 } }),
      );
      expect(object.status ?? {}).not.toHaveProperty('collisionCount');
      expect(fieldsOf(object, 'me')).not.toHaveProperty('f:status');
    });

    test('of the scale owns the replicas, and conflicts with who else set them', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a`;
      const scale = (replicas: number) => ({
        apiVersion: 'autoscaling/v1',
        kind: 'Scale',
        metadata: { name: 'a', namespace: ns },
        spec: { replicas },
      });
      await api().expect(201, api().apply(path, 'user', deployment('a')));
      const { message } = await api().expect(409, api().apply(`${path}/scale`, 'scaler', scale(3)));
      expect(message).toBe('Apply failed with 1 conflict: conflict with "user": .spec.replicas');
      const answer = await api().expect(200, api().apply(`${path}/scale`, 'scaler', scale(3), '&force=true'));
      expect(answer).toMatchObject({ kind: 'Scale', spec: { replicas: 3 } });
      const object = await api().expect(200, api().get(path));
      expect(object.spec.replicas).toBe(3);
      expect(managersOf(object)).toContain('scaler Apply scale');
      expect(fieldsOf(object, 'scaler')).toEqual({ 'f:spec': { 'f:replicas': {} } });
      expect(fieldsOf(object, 'user')['f:spec']).not.toHaveProperty('f:replicas');
      await api().expect(
        404,
        api().apply(`${deploymentsOf(ns)}/b/scale`, 'scaler', { ...scale(3), metadata: { name: 'b', namespace: ns } }),
      );
    });

    test('a plain update takes fields from appliers', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'me', data({ k: '1', l: '1' })));
      const object = await api().expect(200, api().patch(`${path}?fieldManager=other`, 'merge', { data: { k: '2' } }));
      expect(managersOf(object)).toEqual(['me Apply', 'other Update']);
      expect(fieldsOf(object, 'me')).toEqual({ 'f:data': { 'f:l': {} } });
      expect(fieldsOf(object, 'other')).toEqual({ 'f:data': { 'f:k': {} } });
    });

    test('managedFields of more than ten updaters are merged, oldest first', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().post(`${configMapsOf(ns)}?fieldManager=m-00`, configMap('a', { k: '1' })));
      for (let i = 1; i <= 13; i++) {
        await api().target.elapse(1_000);
        const manager = `m-${String(i).padStart(2, '0')}`;
        await api().expect(200, api().patch(`${path}?fieldManager=${manager}`, 'merge', { data: { [manager]: 'x' } }));
      }
      const managers = managersOf(await api().expect(200, api().get(path)));
      expect(managers).toContain('ancient-changes Update');
      expect(managers.length).toBeLessThanOrEqual(11);
    });

    test('an update with [{}] forgets all managers; the next apply finds what was there with before-first-apply', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const bare = await api().expect(200, api().patch(path, 'merge', { metadata: { managedFields: [{}] } }));
      expect(bare.metadata).not.toHaveProperty('managedFields');
      const { message } = await api().expect(409, api().apply(path, 'me', data({ k: '2' })));
      expect(message).toBe('Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.k');
      const object = await api().expect(200, api().apply(path, 'me', data({ l: '1' })));
      expect(managersOf(object).sort()).toEqual(['before-first-apply Update', 'me Apply']);
    });

    test('that would change the uid is 422', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().apply(path, 'me', data({ k: '1' })));
      await api().expect(422, api().apply(path, 'me', { ...data({ k: '2' }), metadata: { name: 'a', uid: 'other' } }));
    });

    test('that names a uid creates nothing: the object that it means is gone', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const answer = await api().expect(
        409,
        api().apply(path, 'me', { ...bare, metadata: { name: 'a', uid: 'gone' } }),
      );
      expect(answer.message).toContain(
        'uid mismatch: the provided object specified uid gone, and no existing object was found',
      );
      await api().expect(404, api().get(path));
    });

    test('from a stale resourceVersion is 409', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const { metadata } = await api().expect(201, api().apply(path, 'me', data({ k: '1' })));
      await api().expect(200, api().apply(path, 'me', data({ k: '2' })));
      const { resourceVersion } = metadata;
      await api().expect(
        409,
        api().apply(path, 'me', { ...data({ k: '3' }), metadata: { name: 'a', resourceVersion } }),
      );
    });

    test('managedFields stand in order of operation, age and name', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().post(`${configMapsOf(ns)}?fieldManager=creator`, configMap('a', { k: '1' })));
      for (const manager of ['zed', 'amy'])
        await api().expect(200, api().apply(path, manager, data({ [manager]: '1' })));
      await api().expect(200, api().patch(`${path}?fieldManager=bob`, 'merge', { data: { bob: '1' } }));
      const { metadata } = await api().expect(200, api().get(path));
      const entries: { operation: string; time: string; manager: string }[] = metadata.managedFields;
      const keys = entries.map(({ operation, time, manager }) => `${operation} ${time} ${manager}`);
      expect(keys).toEqual(keys.toSorted());
      expect(entries.map(({ manager }) => manager).slice(2)).toEqual(expect.arrayContaining(['bob', 'creator']));
    });

    test('of many at once by different managers keeps every part', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const managers = Array.from({ length: 10 }, (_, i) => `m${i}`);
      const replies = await Promise.all(
        managers.map((manager) => api().apply(path, manager, data({ [manager]: 'x' }))),
      );
      expect(replies.every(({ status }) => status === 200 || status === 201)).toBe(true);
      expect(Object.keys((await api().expect(200, api().get(path))).data).sort()).toEqual(managers);
    });
  });

  describe('server-side apply refuses', () => {
    test.each([
      [
        'no fieldManager',
        '',
        data({}),
        422,
        'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch',
      ],
      [
        'managedFields',
        '?fieldManager=me',
        { ...data({}), metadata: { name: 'a', managedFields: [{ manager: 'me' }] } },
        400,
        'metadata.managedFields must be nil',
      ],
      [
        'another name',
        '?fieldManager=me',
        { ...data({}), metadata: { name: 'b' } },
        400,
        'the name of the object (b) does not match the name on the URL (a)',
      ],
      [
        'no name',
        '?fieldManager=me',
        { ...data({}), metadata: {} },
        422,
        'metadata.name: Required value: name or generateName is required',
      ],
      [
        'another version',
        '?fieldManager=me',
        { ...data({}), apiVersion: 'v2' },
        400,
        'Incorrect version specified in apply patch. Specified patch version: v2, expected: v1',
      ],
      [
        'no version',
        '?fieldManager=me',
        { ...data({}), apiVersion: undefined },
        400,
        'Incorrect version specified in apply patch. Specified patch version: , expected: v1',
      ],
      ['no kind', '?fieldManager=me', { ...data({}), kind: undefined }, 400, 'it must be ConfigMap'],
      [
        'another namespace',
        '?fieldManager=me',
        { ...data({}), metadata: { name: 'a', namespace: 'elsewhere' } },
        400,
        'the namespace of the provided object does not match the namespace sent on the request',
      ],
      ['an unknown field', '?fieldManager=me', { ...data({}), more: 1 }, 400, '.more: field not declared in schema'],
      ['no object', '?fieldManager=me', '[]', 400, ''],
      ['no YAML', '?fieldManager=me', '{', 400, ''],
    ])('%s', async (_what, query, body, status, message) => {
      const ns = await api().namespace();
      const answer = await api().expect(status, api().patch(`${configMapsOf(ns)}/a${query}`, 'apply', body));
      expect(answer.message).toContain(message);
      await api().expect(404, api().get(`${configMapsOf(ns)}/a`));
    });

    test('two list items of one key', async () => {
      const ns = await api().namespace();
      const twice = service([
        { port: 80, protocol: 'TCP', name: 'x' },
        { port: 80, protocol: 'TCP', name: 'y' },
      ]);
      const { message } = await api().expect(400, api().apply(`${servicesOf(ns)}/a`, 'me', twice));
      expect(message).toContain('duplicate entries for key [port=80,protocol="TCP"]');
    });
  });

  describe('server-side apply after client-side apply', () => {
    const clientApply = async (path: string, collection: string, object: Answer) => {
      const text = `${JSON.stringify(object)}\n`;
      const annotated = { ...object, metadata: { ...object.metadata, annotations: { [LAST_APPLIED]: text } } };
      await api().expect(201, api().post(`${collection}?fieldManager=kubectl-client-side-apply`, annotated));
      return api().expect(200, api().get(path));
    };

    test('by kubectl has no conflicts over what was applied before, and keeps the annotation up to date', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await clientApply(path, configMapsOf(ns), data({ k: '1' }));
      const object = await api().expect(200, api().apply(path, 'kubectl', data({ k: '2' })));
      expect(object.data.k).toBe('2');
      expect(JSON.parse(object.metadata.annotations[LAST_APPLIED])).toMatchObject({ data: { k: '2' } });
    });

    test('by another manager has them', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await clientApply(path, configMapsOf(ns), data({ k: '1' }));
      const { message } = await api().expect(409, api().apply(path, 'other', data({ k: '2' })));
      expect(message).toContain('conflict with "kubectl-client-side-apply" using v1: .data.k');
    });

    test('by kubectl still has them over what somebody changed since', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await clientApply(path, configMapsOf(ns), data({ k: '1', l: '1' }));
      await api().expect(200, api().patch(`${path}?fieldManager=other`, 'merge', { data: { l: '5' } }));
      const { message } = await api().expect(409, api().apply(path, 'kubectl', data({ k: '2', l: '2' })));
      expect(message).toBe('Apply failed with 1 conflict: conflict with "other" using v1: .data.l');
    });

    test('takes over the entry that kubectl renames for it', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const { metadata } = await clientApply(path, configMapsOf(ns), data({ k: '1', gone: '1' }));
      const managedFields = metadata.managedFields.map((entry: object) => ({
        ...entry,
        manager: 'kubectl',
        operation: 'Apply',
      }));
      await api().expect(
        200,
        api().patch(path, 'json', [
          { op: 'replace', path: '/metadata/managedFields', value: managedFields },
          { op: 'replace', path: '/metadata/resourceVersion', value: metadata.resourceVersion },
        ]),
      );
      const object = await api().expect(200, api().apply(path, 'kubectl', data({ k: '2' })));
      expect(object.data).toEqual({ k: '2' });
      expect(managersOf(object)).toEqual(['kubectl Apply']);
    });
  });
}
