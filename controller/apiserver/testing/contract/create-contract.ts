import { describe, expect, test } from 'vitest';
import type { ContractSuite } from './contract-target.ts';
import { configMap, configMapsOf, pod, podsOf, secret, secretsOf } from './samples.ts';

export function describeCreate({ api, isRemote }: ContractSuite): void {
  describe('create', () => {
    test('answers 201 with what only the server sets, whatever the client said', async () => {
      const ns = await api().namespace();
      const body = {
        metadata: {
          name: 'a',
          uid: 'mine',
          creationTimestamp: '2001-01-01T00:00:00Z',
          deletionTimestamp: '2001-01-01T00:00:00Z',
          selfLink: '/x',
        },
        data: { key: 'dmFsdWU=' },
      };
      const { metadata } = await api().expect(201, api().post(secretsOf(ns), body));
      expect(metadata.uid).not.toBe('mine');
      expect(metadata.creationTimestamp).not.toBe('2001-01-01T00:00:00Z');
      expect(metadata).not.toHaveProperty('deletionTimestamp');
      expect(metadata).not.toHaveProperty('selfLink');
      expect(metadata).toMatchObject({ namespace: ns, resourceVersion: expect.stringMatching(/^\d+$/) });
    });

    test('of a name that is taken is 409 AlreadyExists', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(secretsOf(ns), secret('a')));
      expect(await api().expect(409, api().post(secretsOf(ns), secret('a')))).toMatchObject({
        kind: 'Status',
        reason: 'AlreadyExists',
        message: 'secrets "a" already exists',
        details: { name: 'a', kind: 'secrets' },
      });
    });

    test('of a name whose object is being deleted says so', async () => {
      const ns = await api().namespace();
      const held = { ...secret('a'), metadata: { name: 'a', finalizers: ['example.com/held'] } };
      await api().expect(201, api().post(secretsOf(ns), held));
      await api().expect(200, api().delete(`${secretsOf(ns)}/a`));
      const { message } = await api().expect(409, api().post(secretsOf(ns), secret('a')));
      expect(message).toBe('object is being deleted: secrets "a" already exists');
      await api().expect(200, api().patch(`${secretsOf(ns)}/a`, 'merge', { metadata: { finalizers: null } }));
    });

    test('draws a name from generateName', async () => {
      const ns = await api().namespace();
      const draft = { metadata: { generateName: 'drawn-' } };
      const names = new Set<string>();
      for (let i = 0; i < 3; i++) names.add((await api().expect(201, api().post(secretsOf(ns), draft))).metadata.name);
      expect(names.size).toBe(3);
      for (const name of names) expect(name).toMatch(/^drawn-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
    });

    test('cuts a long generateName so that the name fits', async () => {
      const ns = await api().namespace();
      const { metadata } = await api().expect(
        201,
        api().post(secretsOf(ns), { metadata: { generateName: 'x'.repeat(80) } }),
      );
      expect(metadata.name).toMatch(/^x{58}[a-z0-9]{5}$/);
    });

    test.skipIf(isRemote)('draws again when the name is taken, and gives up after eight times', async () => {
      const ns = await api().namespace();
      const draft = { metadata: { generateName: 'same-' } };
      await api().target.withoutChance?.(async () => {
        await api().expect(201, api().post(secretsOf(ns), draft));
        expect(await api().expect(409, api().post(secretsOf(ns), draft))).toMatchObject({
          reason: 'AlreadyExists',
          message:
            'secrets "same-bbbbb" already exists, the server was not able to generate a unique name for the object',
          details: { name: 'same-bbbbb', kind: 'secrets', retryAfterSeconds: 1 },
        });
      });
    });

    test('without a name is 422', async () => {
      const ns = await api().namespace();
      expect(await api().expect(422, api().post(secretsOf(ns), { data: {} }))).toMatchObject({
        reason: 'Invalid',
        message: 'Secret "" is invalid: metadata.name: Required value: name or generateName is required',
        details: { kind: 'Secret', causes: [{ reason: 'FieldValueRequired', field: 'metadata.name' }] },
      });
    });

    test('with a resourceVersion is refused', async () => {
      const ns = await api().namespace();
      const { message } = await api().expect(
        400,
        api().post(secretsOf(ns), { metadata: { name: 'a', resourceVersion: '7' } }),
      );
      expect(message).toBe('resourceVersion should not be set on objects to be created');
    });

    test('into another namespace than the path says is 400', async () => {
      const ns = await api().namespace();
      const { message } = await api().expect(
        400,
        api().post(secretsOf(ns), { metadata: { name: 'a', namespace: 'elsewhere' } }),
      );
      expect(message).toBe('the namespace of the provided object does not match the namespace sent on the request');
    });

    test('of a cluster-scoped object forgets a namespace, as charts name one', async () => {
      const ns = await api().namespace();
      const role = { metadata: { name: ns, namespace: ns }, rules: [] };
      const path = '/apis/rbac.authorization.k8s.io/v1/clusterroles';
      const { metadata } = await api().expect(201, api().post(path, role));
      expect(metadata).not.toHaveProperty('namespace');
      await api().delete(`${path}/${ns}`);
    });

    test.each([
      [
        'another version',
        { apiVersion: 'v2', kind: 'Secret' },
        /the API version in the data \(v2\) does not match the expected API version \(v1\)/,
      ],
      ['another kind', { apiVersion: 'v1', kind: 'Pod' }, /Pod/],
    ])('of %s than the path is 400', async (_what, type, message) => {
      const ns = await api().namespace();
      const answer = await api().expect(400, api().post(secretsOf(ns), { ...type, metadata: { name: 'a' } }));
      expect(answer).toMatchObject({ reason: 'BadRequest', message: expect.stringMatching(message) });
    });

    test.each([
      ['no body', '', 400],
      ['what is no JSON', '{', 400],
      ['a list', '[]', 400],
      ['null', 'null', 400],
    ])('of %s is refused', async (_what, body, status) => {
      const ns = await api().namespace();
      expect(await api().expect(status, api().post(secretsOf(ns), body))).toMatchObject({
        kind: 'Status',
        code: status,
      });
    });

    test('of a media type that nobody speaks is 415', async () => {
      const ns = await api().namespace();
      const reply = api().post(secretsOf(ns), '{}', { 'content-type': 'text/plain' });
      expect(await api().expect(415, reply)).toMatchObject({ reason: 'UnsupportedMediaType' });
    });

    test('into the subresource of nothing, or across all namespaces, is refused', async () => {
      await api().expect(405, api().post('/api/v1/secrets', secret('a')));
      const ns = await api().namespace();
      await api().expect(405, api().post(`${secretsOf(ns)}/a`, secret('a')));
    });
  });

  describe('dryRun=All', () => {
    test('of a create answers as if, and stores nothing', async () => {
      const ns = await api().namespace();
      const body = await api().expect(201, api().post(`${secretsOf(ns)}?dryRun=All`, secret('a')));
      expect(body.metadata.uid).toBeTruthy();
      expect(body.metadata).not.toHaveProperty('resourceVersion');
      await api().expect(404, api().get(`${secretsOf(ns)}/a`));
    });

    test('of a create runs validation, and sees what is there', async () => {
      const ns = await api().namespace();
      await api().expect(422, api().post(`${secretsOf(ns)}?dryRun=All`, secret('No Name')));
      await api().expect(201, api().post(secretsOf(ns), secret('a')));
      await api().expect(409, api().post(`${secretsOf(ns)}?dryRun=All`, secret('a')));
    });

    test('of an update or a patch answers the change and keeps what was', async () => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      const { metadata } = await api().expect(201, api().post(configMapsOf(ns), configMap('a', { k: 'old' })));
      const put = await api().expect(200, api().put(`${path}?dryRun=All`, configMap('a', { k: 'put' })));
      const patched = await api().expect(200, api().patch(`${path}?dryRun=All`, 'merge', { data: { k: 'patched' } }));
      const applied = await api().expect(
        200,
        api().apply(path, 'me', configMap('a', { other: 'applied' }), '&dryRun=All'),
      );
      expect([put.data.k, patched.data.k, applied.data.other]).toEqual(['put', 'patched', 'applied']);
      const now = await api().expect(200, api().get(path));
      expect(now).toMatchObject({ data: { k: 'old' }, metadata: { resourceVersion: metadata.resourceVersion } });
    });

    test('of an apply that would create, and of a PUT that would, creates nothing', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().apply(`${configMapsOf(ns)}/a`, 'me', configMap('a'), '&dryRun=All'));
      await api().expect(404, api().get(`${configMapsOf(ns)}/a`));
      const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}/roles/a`;
      await api().expect(201, api().put(`${role}?dryRun=All`, { metadata: { name: 'a' }, rules: [] }));
      await api().expect(404, api().get(role));
    });

    test.each([
      ['the query', '?dryRun=All', undefined],
      ['the body', '', { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] }],
      ['both', '?dryRun=All', { propagationPolicy: 'Background' }],
    ])('of a delete, in %s, deletes nothing', async (_where, query, body) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(secretsOf(ns), secret('a')));
      await api().expect(200, api().delete(`${secretsOf(ns)}/a${query}`, body));
      await api().expect(200, api().delete(`${secretsOf(ns)}${query}`, body));
      const { metadata } = await api().expect(200, api().get(`${secretsOf(ns)}/a`));
      expect(metadata).not.toHaveProperty('deletionTimestamp');
    });

    test('of a binding or an eviction leaves the pod alone', async () => {
      const ns = await api().namespace();
      const path = `${podsOf(ns)}/a`;
      await api().expect(201, api().post(podsOf(ns), pod('a')));
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'a' },
        target: { kind: 'Node', name: 'n' },
      };
      await api().expect(201, api().post(`${path}/binding?dryRun=All`, binding));
      expect((await api().expect(200, api().get(path))).spec).not.toHaveProperty('nodeName');
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'a' } };
      await api().expect(201, api().post(`${path}/eviction?dryRun=All`, eviction));
      await api().expect(201, api().post(`${path}/eviction`, { ...eviction, deleteOptions: { dryRun: ['All'] } }));
      expect((await api().expect(200, api().get(path))).metadata).not.toHaveProperty('deletionTimestamp');
    });

    test.each(['POST', 'PUT', 'PATCH', 'DELETE'] as const)('of anything but All is 422 for %s', async (method) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(secretsOf(ns), secret('a')));
      const path = method === 'POST' ? secretsOf(ns) : `${secretsOf(ns)}/a`;
      const headers = method === 'PATCH' ? { 'content-type': 'application/merge-patch+json' } : undefined;
      const body = method === 'DELETE' ? undefined : JSON.stringify(secret('a'));
      const answer = await api().expect(422, api().send({ method, path: `${path}?dryRun=some`, body, headers }));
      expect(answer.message).toContain('dryRun: Unsupported value: ');
      expect(answer.message).toContain('supported values: "All"');
    });
  });

  describe('fieldValidation', () => {
    const doubtful = '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"type":"x","type":"y","more":1}';

    test('Strict refuses unknown and doubled fields', async () => {
      const ns = await api().namespace();
      const { message } = await api().expect(400, api().post(`${secretsOf(ns)}?fieldValidation=Strict`, doubtful));
      expect(message).toContain('strict decoding error: ');
      expect(message).toContain('duplicate field "type"');
      expect(message).toContain('unknown field "more"');
      await api().expect(404, api().get(`${secretsOf(ns)}/a`));
    });

    test.each(['', '?fieldValidation=Warn'])(
      'Warn, the default (%s), says so in headers and drops them',
      async (query) => {
        const ns = await api().namespace();
        const reply = await api().post(secretsOf(ns) + query, doubtful);
        expect(reply.status).toBe(201);
        expect(reply.headers.warning).toBe('299 - "duplicate field \\"type\\"", 299 - "unknown field \\"more\\""');
        expect(reply.body).not.toHaveProperty('more');
        expect(reply.body.type).toBe('y');
      },
    );

    test('Ignore says nothing', async () => {
      const ns = await api().namespace();
      const reply = await api().post(`${secretsOf(ns)}?fieldValidation=Ignore`, doubtful);
      expect([reply.status, reply.headers.warning]).toEqual([201, undefined]);
    });

    test('anything else is 422', async () => {
      const ns = await api().namespace();
      const { message } = await api().expect(422, api().post(`${secretsOf(ns)}?fieldValidation=Lax`, doubtful));
      expect(message).toBe(
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "Lax": supported values: "", "Ignore", "Strict", "Warn"',
      );
    });

    test.each(['json', 'merge', 'strategic', 'apply'] as const)('holds for a %s patch', async (type) => {
      const ns = await api().namespace();
      const path = `${configMapsOf(ns)}/a`;
      await api().expect(201, api().post(configMapsOf(ns), configMap('a')));
      const patch =
        type === 'json'
          ? [{ op: 'add', path: '/more', value: 1 }]
          : { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, more: 1 };
      const query = '?fieldManager=me&fieldValidation=';
      const strict = await api().patch(`${path}${query}Strict`, type, patch);
      expect([400, 422]).toContain(strict.status);
      expect(strict.body.message).toContain('more');
      if (type === 'apply') return;
      const warned = await api().patch(`${path}${query}Warn`, type, patch);
      expect([warned.status, warned.headers.warning]).toEqual([200, '299 - "unknown field \\"more\\""']);
      const ignored = await api().patch(`${path}${query}Ignore`, type, patch);
      expect([ignored.status, ignored.headers.warning]).toEqual([200, undefined]);
    });
  });

  describe('fieldManager', () => {
    test('names the writer; without it the User-Agent does', async () => {
      const ns = await api().namespace();
      const named = await api().expect(201, api().post(`${secretsOf(ns)}?fieldManager=me`, secret('a')));
      expect(named.metadata.managedFields).toMatchObject([
        { manager: 'me', operation: 'Update', apiVersion: 'v1', fieldsType: 'FieldsV1' },
      ]);
      const headers = { 'user-agent': 'tool/v1.2 (linux)', 'content-type': 'application/json' };
      const guessed = await api().expect(201, api().post(secretsOf(ns), JSON.stringify(secret('b')), headers));
      expect(guessed.metadata.managedFields).toMatchObject([{ manager: 'tool' }]);
    });

    test.each([
      ['of 129 bytes', 'x'.repeat(129), 'fieldManager: Too long: may not be more than 128 bytes'],
      [
        'with a control character',
        'a%0Ab',
        'fieldManager: Invalid value: "a\\nb": invalid character U+000A (at position 1)',
      ],
    ])('%s is refused', async (_what, manager, message) => {
      const ns = await api().namespace();
      const answer = await api().expect(422, api().post(`${secretsOf(ns)}?fieldManager=${manager}`, secret('a')));
      expect(answer.message).toContain(message);
    });
  });
}
