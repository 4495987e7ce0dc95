import { describe, expect, test } from 'vitest';
import type { ContractSuite } from './contract-target.ts';
import { configMap, configMapsOf, deployment, deploymentsOf, leasesOf, pod, podsOf } from './samples.ts';

const STALE = 'the object has been modified; please apply your changes to the latest version and try again';

export function describeUpdate({ api }: ContractSuite): void {
  describe('update', () => {
    test('from the newest resourceVersion is stored under a higher one', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const next = await api().expect(200, api().put(`${configMapsOf(ns)}/a`, { ...object, data: { k: '2' } }));
      expect(Number(next.metadata.resourceVersion)).toBeGreaterThan(Number(object.metadata.resourceVersion));
      expect(next.metadata.uid).toBe(object.metadata.uid);
    });

    test('from a stale resourceVersion is 409 Conflict', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      await api().expect(200, api().put(`${configMapsOf(ns)}/a`, { ...object, data: { k: '2' } }));
      expect(
        await api().expect(409, api().put(`${configMapsOf(ns)}/a`, { ...object, data: { k: '3' } })),
      ).toMatchObject({
        reason: 'Conflict',
        message: `Operation cannot be fulfilled on configmaps "a": ${STALE}`,
        details: { name: 'a', kind: 'configmaps' },
      });
    });

    test('of ten at once from one resourceVersion lets one win', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const put = (i: number) => api().put(`${configMapsOf(ns)}/a`, { ...object, data: { k: String(i) } });
      const replies = await Promise.all(Array.from({ length: 10 }, (_, i) => put(i)));
      expect(replies.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 9 }, () => 409)]);
    });

    test('without resourceVersion overwrites where the kind allows it', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const next = await api().expect(200, api().put(`${configMapsOf(ns)}/a`, configMap('a', { k: '2' })));
      expect(next.data).toEqual({ k: '2' });
    });

    test('without resourceVersion is 422 where the kind demands one', async () => {
      const ns = await api().namespace();
      const lease = { metadata: { name: 'a' }, spec: { holderIdentity: 'me' } };
      await api().expect(201, api().post(leasesOf(ns), lease));
      expect(await api().expect(422, api().put(`${leasesOf(ns)}/a`, lease))).toMatchObject({
        reason: 'Invalid',
        message:
          'leases.coordination.k8s.io "a" is invalid: metadata.resourceVersion: Invalid value: 0x0: must be specified for an update',
      });
    });

    test('with the uid of another object is 409', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const other = { ...configMap('a', { k: 'x' }), metadata: { name: 'a', uid: 'other' } };
      const { reason, message } = await api().expect(409, api().put(`${configMapsOf(ns)}/a`, other));
      expect(reason).toBe('Conflict');
      expect(message).toMatch(/Precondition failed: UID in precondition: other, UID in object meta: \S+$/);
    });

    test('under another name than the path is 400', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const { message } = await api().expect(400, api().put(`${configMapsOf(ns)}/a`, configMap('b')));
      expect(message).toBe('the name of the object (b) does not match the name on the URL (a)');
    });

    test('into another namespace than the path is 400', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const moved = { ...configMap('a'), metadata: { name: 'a', namespace: 'elsewhere' } };
      const { message } = await api().expect(400, api().put(`${configMapsOf(ns)}/a`, moved));
      expect(message).toBe('the namespace of the provided object does not match the namespace sent on the request');
    });

    test('of what is not there is 404 where the kind does not create by it', async () => {
      const ns = await api().namespace();
      expect(await api().expect(404, api().put(`${configMapsOf(ns)}/a`, configMap('a')))).toMatchObject({
        reason: 'NotFound',
        message: 'configmaps "a" not found',
      });
    });

    test.each([
      ['Role', '/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles/a', { rules: [] }],
      ['Lease', '/apis/coordination.k8s.io/v1/namespaces/NS/leases/a', { spec: { holderIdentity: 'me' } }],
      ['Endpoints', '/api/v1/namespaces/NS/endpoints/a', { subsets: [] }],
    ])('of what is not there creates a %s, with 201', async (_kind, template, content) => {
      const ns = await api().namespace();
      const path = template.replace('NS', ns);
      const { metadata } = await api().expect(201, api().put(path, { metadata: { name: 'a' }, ...content }));
      expect(metadata).toMatchObject({ name: 'a', namespace: ns, uid: expect.any(String) });
    });

    test('that changes nothing keeps the resourceVersion', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: '1' })));
      const again = await api().expect(200, api().put(`${configMapsOf(ns)}/a`, object));
      expect(again).toEqual(object);
    });

    test('keeps what only the server sets', async () => {
      const ns = await api().namespace();
      const object = await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const { creationTimestamp, uid } = object.metadata;
      const forged = { name: 'a', creationTimestamp: '2001-01-01T00:00:00Z', generation: 7 };
      const next = await api().expect(
        200,
        api().put(`${configMapsOf(ns)}/a`, { ...configMap('a', { k: 'x' }), metadata: forged }),
      );
      expect(next.metadata).toMatchObject({ creationTimestamp, uid });
      expect(next.metadata).not.toHaveProperty('generation');
    });

    test.each([
      ['deletionTimestamp', '2001-01-01T00:00:00Z'],
      ['deletionGracePeriodSeconds', 0],
    ])('that sets %s is 422: a deletion is asked for as one', async (field, value) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const forged = { ...configMap('a'), metadata: { name: 'a', [field]: value } };
      const { message } = await api().expect(422, api().put(`${configMapsOf(ns)}/a`, forged));
      expect(message).toContain(`metadata.${field}: Invalid value: ${JSON.stringify(value)}: field is immutable`);
    });

    test('of the spec leaves the status alone, of the status the spec', async () => {
      const ns = await api().namespace();
      const path = `${podsOf(ns)}/a`;
      const object = await api().expect(201, api().post(podsOf(ns), pod('a', 'nowhere')));
      const status = { phase: 'Running', podIP: '10.1.2.3' };
      const changed = { ...object, metadata: { name: 'a' }, status };
      await api().expect(200, api().put(path, changed));
      expect((await api().expect(200, api().get(path))).status).not.toHaveProperty('podIP');
      const next = structuredClone(changed);
      next.spec.containers[0].image = 'other:2';
      await api().expect(200, api().put(`${path}/status`, next));
      expect(await api().expect(200, api().get(path))).toMatchObject({
        status: { podIP: '10.1.2.3' },
        spec: { containers: [{ image: 'main:1' }] },
      });
    });

    test('counts a generation for each change of the spec, and for none of labels or status', async () => {
      const ns = await api().namespace();
      const path = `${deploymentsOf(ns)}/a`;
      const first = await api().expect(201, api().post(deploymentsOf(ns), deployment('a')));
      const labelled = await api().expect(200, api().patch(path, 'merge', { metadata: { labels: { x: 'y' } } }));
      const status = await api().expect(200, api().patch(`${path}/status`, 'merge', { status: { collisionCount: 1 } }));
      const changed = await api().expect(200, api().patch(path, 'merge', { spec: { minReadySeconds: 3 } }));
      const generations = [first, labelled, status, changed].map(({ metadata }) => metadata.generation);
      expect(generations).toEqual([1, 1, 1, 2]);
    });

    test('of an object that is being deleted may not add finalizers', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const held = { ...configMap('a'), metadata: { name: 'a', finalizers: ['example.com/one'] } };
      await api().expect(201, api().post(configMapsOf(ns), held));
      await api().expect(200, api().delete(path));
      const more = { metadata: { finalizers: ['example.com/one', 'example.com/two'] } };
      const { message } = await api().expect(422, api().patch(path, 'merge', more));
      expect(message).toBe(
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/two"}',
      );
      await api().expect(200, api().patch(path, 'merge', { metadata: { finalizers: [] } }));
      await api().expect(404, api().get(path));
    });

    test('of a collection, and without a name, is refused', async () => {
      const ns = await api().namespace();
      await api().expect(405, api().put(configMapsOf(ns), configMap('a')));
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const { message } = await api().expect(400, api().put(`${configMapsOf(ns)}/a`, { data: {} }));
      expect(message).toContain('name');
    });
  });
}
