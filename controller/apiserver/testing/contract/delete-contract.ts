import { describe, expect, test } from 'vitest';
import type { ContractSuite } from './contract-target.ts';
import { configMap, configMapsOf, pod, podsOf, secret, secretsOf, servicesOf } from './samples.ts';

/** Held by a finalizer, so that a delete only marks it. */
const held = (name: string) => ({ ...configMap(name), metadata: { name, finalizers: ['example.com/held'] } });

export function describeDelete({ api }: ContractSuite): void {
  describe('delete', () => {
    test('answers a Status that names what is gone', async () => {
      const ns = await api().namespace();
      const { metadata } = await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const answer = await api().expect(200, api().delete(`${configMapsOf(ns)}/a`));
      expect(answer).toEqual({
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: { name: 'a', kind: 'configmaps', uid: metadata.uid },
      });
      await api().expect(404, api().delete(`${configMapsOf(ns)}/a`));
    });

    test.each([
      ['Service', servicesOf, { spec: { ports: [{ port: 80 }] } }],
      ['ServiceAccount', (ns: string) => `/api/v1/namespaces/${ns}/serviceaccounts`, {}],
      ['ResourceQuota', (ns: string) => `/api/v1/namespaces/${ns}/resourcequotas`, { spec: {} }],
      ['Pod', podsOf, pod('a')],
    ])('of a %s answers its last state', async (kind, collection, content) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(collection(ns), { ...content, metadata: { name: 'a' } }));
      expect(await api().expect(200, api().delete(`${collection(ns)}/a`))).toMatchObject({
        kind,
        metadata: { name: 'a' },
      });
      await api().expect(404, api().get(`${collection(ns)}/a`));
    });

    test('waits for finalizers: the object is marked, and goes with the last of them', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().post(configMapsOf(ns), held('a')));
      const marked = await api().expect(200, api().delete(path));
      expect(marked.metadata).toMatchObject({
        deletionTimestamp: expect.any(String),
        deletionGracePeriodSeconds: 0,
        finalizers: ['example.com/held'],
      });
      expect(await api().expect(200, api().delete(path))).toEqual(marked);
      await api().expect(200, api().patch(path, 'json', [{ op: 'remove', path: '/metadata/finalizers' }]));
      await api().expect(404, api().get(path));
    });

    test.each([
      ['Foreground', { propagationPolicy: 'Foreground' }, 202, ['example.com/held', 'foregroundDeletion']],
      ['Orphan', { propagationPolicy: 'Orphan' }, 200, ['example.com/held', 'orphan']],
      ['Background', { propagationPolicy: 'Background' }, 200, ['example.com/held']],
      ['none', {}, 200, ['example.com/held']],
      ['orphanDependents: true', { orphanDependents: true }, 200, ['example.com/held', 'orphan']],
      ['orphanDependents: false', { orphanDependents: false }, 202, ['example.com/held']],
    ])(
      'with propagation %s sets the finalizers of the garbage collector',
      async (_policy, options, status, finalizers) => {
        const ns = await api().namespace();
        for (const [name, query, body] of [
          ['body', '', options],
          [
            'query',
            `?${new URLSearchParams(Object.entries(options).map(([key, value]) => [key, String(value)]))}`,
            undefined,
          ],
        ] as const) {
          await api().expect(201, api().post(configMapsOf(ns), held(name)));
          const { metadata } = await api().expect(status, api().delete(`${configMapsOf(ns)}/${name}${query}`, body));
          expect(metadata.finalizers.toSorted()).toEqual(finalizers.toSorted());
          await api().expect(
            200,
            api().patch(`${configMapsOf(ns)}/${name}`, 'merge', { metadata: { finalizers: null } }),
          );
        }
      },
    );

    test.each([
      [
        'both ways to say it',
        { orphanDependents: true, propagationPolicy: 'Orphan' },
        'propagationPolicy: Invalid value: "Orphan": orphanDependents and deletionPropagation cannot be both set',
      ],
      [
        'an unknown policy',
        { propagationPolicy: 'Some' },
        'propagationPolicy: Unsupported value: "Some": supported values: "Foreground", "Background", "Orphan", "nil"',
      ],
    ])('with %s is 422', async (_what, options, message) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const answer = await api().expect(422, api().delete(`${configMapsOf(ns)}/a`, options));
      expect(answer.message).toBe(`DeleteOptions.meta.k8s.io "" is invalid: ${message}`);
    });

    test('of another object than the preconditions mean is 409', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const { metadata } = await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const wrongUid = await api().expect(409, api().delete(path, { preconditions: { uid: 'other' } }));
      expect(wrongUid.message).toBe(
        `Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID in record (${metadata.uid}). The object might have been deleted and then recreated`,
      );
      const wrongVersion = await api().expect(409, api().delete(path, { preconditions: { resourceVersion: '1' } }));
      expect(wrongVersion.message).toBe(
        `Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (${metadata.resourceVersion}). The object might have been modified`,
      );
      const { uid, resourceVersion } = metadata;
      await api().expect(200, api().delete(path, { preconditions: { uid, resourceVersion } }));
    });

    test.each([
      ['the default of the pod', '', undefined, 30],
      ['the body', '', { gracePeriodSeconds: 7 }, 7],
      ['the query', '?gracePeriodSeconds=8', undefined, 8],
      ['less than none means one', '', { gracePeriodSeconds: -5 }, 1],
    ])('of a pod on a node grants time: %s', async (_what, query, body, seconds) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(podsOf(ns), pod('a', 'nowhere')));
      const { metadata } = await api().expect(200, api().delete(`${podsOf(ns)}/a${query}`, body));
      expect(metadata.deletionGracePeriodSeconds).toBe(seconds);
      const takenMs = Date.parse(metadata.deletionTimestamp) - Date.parse(metadata.creationTimestamp);
      expect(takenMs).toBeGreaterThanOrEqual(seconds * 1000);
      await api().expect(200, api().delete(`${podsOf(ns)}/a`, { gracePeriodSeconds: 0 }));
      await api().expect(404, api().get(`${podsOf(ns)}/a`));
    });

    test('may shorten the time of a dying pod, not lengthen it', async () => {
      const ns = await api().namespace();
      const path = `${podsOf(ns)}/a`;
      await api().expect(201, api().post(podsOf(ns), pod('a', 'nowhere')));
      const grace = async (gracePeriodSeconds: number) =>
        (await api().expect(200, api().delete(path, { gracePeriodSeconds }))).metadata.deletionGracePeriodSeconds;
      expect([await grace(20), await grace(10), await grace(25)]).toEqual([20, 10, 10]);
      await api().expect(200, api().delete(path, { gracePeriodSeconds: 0 }));
    });

    test('with a number that is none is 400', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(podsOf(ns), pod('a')));
      await api().expect(400, api().delete(`${podsOf(ns)}/a?gracePeriodSeconds=soon`));
      await api().expect(400, api().delete(`${podsOf(ns)}/a`, '{"gracePeriodSeconds":"soon"}'));
    });
  });

  describe('deletecollection', () => {
    const fill = async (ns: string) => {
      for (const [name, app] of [
        ['a', 'x'],
        ['b', 'y'],
        ['c', 'x'],
        ['d', 'x'],
      ] as const)
        await api().expect(201, api().post(secretsOf(ns), secret(name, { app })));
    };
    const namesIn = async (ns: string): Promise<string[]> =>
      (await api().expect(200, api().get(secretsOf(ns)))).items.map(
        (item: { metadata: { name: string } }) => item.metadata.name,
      );

    test('deletes what the selectors mean and answers it', async () => {
      const ns = await api().namespace();
      await fill(ns);
      const list = await api().expect(
        200,
        api().delete(`${secretsOf(ns)}?labelSelector=app%3Dx&fieldSelector=metadata.name!%3Dc`),
      );
      expect(list.kind).toBe('SecretList');
      expect(list.items.map((item: { metadata: { name: string } }) => item.metadata.name).sort()).toEqual(['a', 'd']);
      expect(await namesIn(ns)).toEqual(['b', 'c']);
      await api().expect(200, api().delete(secretsOf(ns)));
      expect(await namesIn(ns)).toEqual([]);
    });

    test('with a limit deletes no more than a page', async () => {
      const ns = await api().namespace();
      await fill(ns);
      await api().expect(200, api().delete(`${secretsOf(ns)}?limit=2`));
      expect(await namesIn(ns)).toEqual(['c', 'd']);
    });

    test('honours preconditions, policy and finalizers of each object', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), held('a')));
      await api().expect(
        409,
        api().delete(`${configMapsOf(ns)}?fieldSelector=metadata.name%3Da`, { preconditions: { uid: 'other' } }),
      );
      await api().expect(
        200,
        api().delete(`${configMapsOf(ns)}?fieldSelector=metadata.name%3Da`, { propagationPolicy: 'Orphan' }),
      );
      const { metadata } = await api().expect(200, api().get(`${configMapsOf(ns)}/a`));
      expect(metadata.finalizers).toContain('example.com/held');
      expect(metadata).toHaveProperty('deletionTimestamp');
      await api().expect(200, api().patch(`${configMapsOf(ns)}/a`, 'merge', { metadata: { finalizers: null } }));
    });

    test('with a selector that does not parse deletes nothing', async () => {
      const ns = await api().namespace();
      await fill(ns);
      await api().expect(400, api().delete(`${secretsOf(ns)}?labelSelector=)`));
      await api().expect(400, api().delete(`${secretsOf(ns)}?fieldSelector=spec.nothing%3Dx`));
      expect(await namesIn(ns)).toHaveLength(4);
    });

    test('across all namespaces is refused', async () => {
      await api().expect(405, api().delete('/api/v1/secrets'));
    });
  });
}
