import { describe, expect, test } from 'vitest';
import type { Answer } from '../../server/testing/test-server.ts';
import type { ContractSuite } from './contract-target.ts';

const AGGREGATED = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';
const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const V3_PROTOBUF = 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf';
const WRITES: Readonly<Record<string, string>> = { post: 'create', put: 'update', patch: 'patch' };

export function describeDiscovery({ api, isRemote }: ContractSuite): void {
  const get = (path: string): Promise<Answer> => api().expect(200, api().get(path));

  describe('discovery', () => {
    test('of the roots names versions and groups', async () => {
      expect(await get('/api')).toMatchObject({ kind: 'APIVersions', versions: ['v1'] });
      const { kind, apiVersion, groups } = await get('/apis');
      expect([kind, apiVersion]).toEqual(['APIGroupList', 'v1']);
      expect(groups).toContainEqual(
        expect.objectContaining({
          name: 'apps',
          versions: [{ groupVersion: 'apps/v1', version: 'v1' }],
          preferredVersion: { groupVersion: 'apps/v1', version: 'v1' },
        }),
      );
    });

    test('of a group and of a version', async () => {
      expect(await get('/apis/apps')).toMatchObject({ kind: 'APIGroup', apiVersion: 'v1', name: 'apps' });
      const { kind, groupVersion, resources } = await get('/apis/apps/v1');
      expect([kind, groupVersion]).toEqual(['APIResourceList', 'apps/v1']);
      expect(resources).toContainEqual(
        expect.objectContaining({
          name: 'deployments',
          singularName: 'deployment',
          namespaced: true,
          kind: 'Deployment',
          shortNames: ['deploy'],
          categories: ['all'],
          verbs: ['create', 'delete', 'deletecollection', 'get', 'list', 'patch', 'update', 'watch'],
          storageVersionHash: expect.any(String),
        }),
      );
      expect(resources).toContainEqual(
        expect.objectContaining({
          name: 'deployments/scale',
          group: 'autoscaling',
          version: 'v1',
          kind: 'Scale',
          verbs: ['get', 'patch', 'update'],
        }),
      );
    });

    test('of what there is none of is 404', async () => {
      await api().expect(404, api().get('/apis/nothing.example.com'));
      await api().expect(404, api().get('/apis/apps/v7'));
      await api().expect(404, api().get('/apis/apps/v1/nothings'));
    });

    test.each(['/api', '/apis'])('of %s at once, with an ETag that spares the second answer', async (path) => {
      const { body, headers } = await api().get(path, { accept: AGGREGATED });
      expect(headers['content-type']).toBe('application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList');
      expect(body).toMatchObject({ kind: 'APIGroupDiscoveryList', apiVersion: 'apidiscovery.k8s.io/v2' });
      const [first] = body.items;
      expect(first.versions[0]).toMatchObject({ version: 'v1', freshness: 'Current', resources: expect.any(Array) });
      const again = await api().get(path, { accept: AGGREGATED, 'if-none-match': headers.etag ?? '' });
      expect([again.status, again.bytes.byteLength]).toEqual([304, 0]);
    });

    test('at once says the same as piece by piece', async () => {
      const { body } = await api().get('/apis', { accept: AGGREGATED });
      for (const group of body.items) {
        for (const { version, resources } of group.versions) {
          const list = await get(`/apis/${group.metadata.name}/${version}`);
          const names = list.resources.map(({ name }: Answer) => name).filter((name: string) => !name.includes('/'));
          expect(resources.map(({ resource }: Answer) => resource).sort()).toEqual(names.sort());
        }
      }
    });

    test('of the version', async () => {
      expect(await get('/version')).toMatchObject({
        major: '1',
        minor: '36',
        gitVersion: expect.stringMatching(/^v1\.36\./),
      });
    });
  });

  describe.runIf(isRemote)('a custom kind', () => {
    const group = 'contract.example.com';
    const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
    const definition = {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `boats.${group}` },
      spec: {
        group,
        scope: 'Namespaced',
        names: { plural: 'boats', singular: 'boat', kind: 'Boat', shortNames: ['bt'] },
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: { spec: { type: 'object', properties: { oars: { type: 'integer' } } } },
              },
            },
          },
        ],
      },
    };
    const established = async () => {
      const { status } = await get(`${crds}/boats.${group}`);
      return (
        status?.conditions?.some(({ type, status: is }: Answer) => type === 'Established' && is === 'True') === true
      );
    };

    test('appears in discovery and OpenAPI once it is established, is served, and goes without a trace', async () => {
      const before = await api().get('/apis', { accept: AGGREGATED });
      await api().expect(201, api().post(crds, definition));
      while (!(await established()));
      const after = await api().get('/apis', { accept: AGGREGATED });
      expect(after.headers.etag).not.toBe(before.headers.etag);
      expect(after.body.items.map(({ metadata }: Answer) => metadata.name)).toContain(group);
      expect((await get(`/apis/${group}/v1`)).resources).toContainEqual(
        expect.objectContaining({ name: 'boats', shortNames: ['bt'] }),
      );
      expect((await get('/openapi/v3')).paths).toHaveProperty([`apis/${group}/v1`]);
      const ns = await api().namespace();
      const boats = `/apis/${group}/v1/namespaces/${ns}/boats`;
      const boat = { apiVersion: `${group}/v1`, kind: 'Boat', metadata: { name: 'a' }, spec: { oars: 2 } };
      await api().expect(201, api().apply(`${boats}/a`, 'me', boat));
      expect((await get(boats)).items).toHaveLength(1);

      await api().expect(200, api().delete(`${crds}/boats.${group}`));
      const gone = async () => (await api().get(boats)).status === 404;
      while (!(await gone()));
      const last = await api().get('/apis', { accept: AGGREGATED });
      expect(last.body.items.map(({ metadata }: Answer) => metadata.name)).not.toContain(group);
    });
  });

  describe('OpenAPI', () => {
    test('v2 in JSON and in protobuf', async () => {
      const { swagger, paths, definitions } = await get('/openapi/v2');
      expect(swagger).toBe('2.0');
      expect(paths['/api/v1/namespaces/{namespace}/pods'].post['x-kubernetes-group-version-kind']).toEqual({
        group: '',
        version: 'v1',
        kind: 'Pod',
      });
      expect(definitions['io.k8s.api.core.v1.Pod'].properties.spec.$ref).toBe(
        '#/definitions/io.k8s.api.core.v1.PodSpec',
      );
      const packed = await api().get('/openapi/v2', { accept: V2_PROTOBUF });
      // Go cannot write a media type with an @.
      expect([packed.status, packed.headers['content-type']]).toEqual([200, V2_PROTOBUF.replace('@', '.')]);
    });

    test('v2 has an ETag that spares the second answer', async () => {
      const { headers } = await api().get('/openapi/v2');
      expect((await api().get('/openapi/v2', { 'if-none-match': headers.etag ?? '' })).status).toBe(304);
    });

    test('v3 addresses each group by its hash, to be kept for ever', async () => {
      const { paths } = await get('/openapi/v3');
      const { serverRelativeURL } = paths['apis/apps/v1'];
      expect(serverRelativeURL).toMatch(/^\/openapi\/v3\/apis\/apps\/v1\?hash=[0-9A-F]+$/);
      const { status, headers, body } = await api().get(serverRelativeURL);
      expect([status, body.openapi]).toEqual([200, '3.0.0']);
      expect(headers['cache-control']).toContain('immutable');
      expect((await api().get('/openapi/v3/apis/apps/v1', { 'if-none-match': headers.etag ?? '' })).status).toBe(304);
      expect([200, 406]).toContain((await api().get('/openapi/v3/apis/apps/v1', { accept: V3_PROTOBUF })).status);
    });

    test('v3 with a hash of before leads to the newest', async () => {
      const { paths } = await get('/openapi/v3');
      const { status, headers } = await api().get('/openapi/v3/apis/apps/v1?hash=00');
      expect([status, headers.location]).toEqual([301, paths['apis/apps/v1'].serverRelativeURL]);
    });

    test.each(['/openapi/v3/api/v1', '/openapi/v3/apis/apps/v1', '/openapi/v3/apis/autoscaling/v2'])(
      'operations of %s name their kind, and writes take fieldValidation',
      async (path) => {
        const { paths } = await get(path);
        const problems: string[] = [];
        for (const [route, item] of Object.entries<Answer>(paths)) {
          for (const [method, operation] of Object.entries<Answer>(item)) {
            if (method === 'parameters' || (!route.includes('{') && !route.split('/').at(-1))) continue;
            const all = [...(item.parameters ?? []), ...(operation.parameters ?? [])];
            const parameters = all.map(({ name }: Answer) => name);
            const isWrite = WRITES[method] !== undefined && !/(proxy|exec|attach|portforward|log)/.test(route);
            if (operation['x-kubernetes-action'] === undefined) continue;
            if (operation['x-kubernetes-group-version-kind'] === undefined)
              problems.push(`${method} ${route}: no kind`);
            if (isWrite && !parameters.includes('fieldValidation'))
              problems.push(`${method} ${route}: no fieldValidation`);
            if (isWrite && !parameters.includes('dryRun')) problems.push(`${method} ${route}: no dryRun`);
          }
        }
        expect(problems).toEqual([]);
      },
    );
  });
}
