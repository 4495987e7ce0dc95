import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { Answer } from '../../server/testing/test-server.ts';
import type { ContractSuite } from './contract-target.ts';
import { configMap, configMapsOf, deployment, deploymentsOf, pod, podsOf, secret, secretsOf } from './samples.ts';

const namesOf = (list: Answer): string[] => list.items.map((item: Answer) => item.metadata.name);

/** Far beyond what any of these tests writes. */
const FUTURE = 1_000_000_000_000;

const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

export function describeList({ api, isRemote }: ContractSuite): void {
  const fill = async (count: number) => {
    const ns = await api().namespace();
    for (let i = 0; i < count; i++)
      await api().expect(201, api().post(secretsOf(ns), secret(`s${i}`, { even: String(i % 2 === 0) })));
    return ns;
  };
  const list = (ns: string, query = '') => api().expect(200, api().get(`${secretsOf(ns)}?${query}`));

  describe('a list', () => {
    test('has the kind, the revision and the items in order of their names', async () => {
      const ns = await fill(3);
      const all = await list(ns);
      expect(all).toMatchObject({
        kind: 'SecretList',
        apiVersion: 'v1',
        metadata: { resourceVersion: expect.any(String) },
      });
      expect(namesOf(all)).toEqual(['s0', 's1', 's2']);
      const newest = Math.max(...all.items.map((item: Answer) => Number(item.metadata.resourceVersion)));
      expect(Number(all.metadata.resourceVersion)).toBeGreaterThanOrEqual(newest);
    });

    test('of nothing has an empty list of items', async () => {
      expect((await list(await api().namespace())).items).toEqual([]);
    });

    test('goes across namespaces where the path names none', async () => {
      const [one, two] = [await fill(1), await fill(1)];
      const all = await api().expect(200, api().get('/api/v1/secrets'));
      const namespaces = all.items.map((item: Answer) => item.metadata.namespace);
      expect(namespaces).toEqual(expect.arrayContaining([one, two]));
    });
  });

  describe('resourceVersion and resourceVersionMatch of a list', () => {
    /** `[query, expected]` where `old` stands for a revision before the last write, `now` for one after it. */
    const cases: readonly (readonly [string, 'now' | 'old' | number])[] = [
      ['', 'now'],
      ['resourceVersion=0', 'now'],
      ['resourceVersion=OLD', 'now'],
      ['resourceVersion=OLD&resourceVersionMatch=NotOlderThan', 'now'],
      ['resourceVersion=0&resourceVersionMatch=NotOlderThan', 'now'],
      ['resourceVersion=OLD&resourceVersionMatch=Exact', 'old'],
      ['limit=5', 'now'],
      ['limit=5&resourceVersion=0', 'now'],
      ['limit=5&resourceVersion=OLD', 'old'],
      ['limit=5&resourceVersion=OLD&resourceVersionMatch=NotOlderThan', 'now'],
      ['limit=5&resourceVersion=OLD&resourceVersionMatch=Exact', 'old'],
      ['resourceVersionMatch=Exact', 422],
      ['resourceVersionMatch=NotOlderThan', 422],
      ['resourceVersion=0&resourceVersionMatch=Exact', 422],
      ['resourceVersion=OLD&resourceVersionMatch=About', 422],
      ['resourceVersion=OLD&resourceVersionMatch=Exact&continue=x', 422],
      ['resourceVersion=abc', 400],
      ['resourceVersion=-1', 400],
      ['sendInitialEvents=true', 422],
      ['limit=many', 400],
    ];

    test.each(cases)('%s: %s', async (query, expected) => {
      const ns = await fill(1);
      const old = (await list(ns)).metadata.resourceVersion;
      await api().expect(201, api().post(secretsOf(ns), secret('later')));
      const reply = await api().get(`${secretsOf(ns)}?${query.replace('OLD', old)}`);
      if (typeof expected === 'number') {
        expect([reply.status, reply.body.kind]).toEqual([expected, 'Status']);
        return;
      }
      expect(reply.status).toBe(200);
      expect(namesOf(reply.body)).toEqual(expected === 'old' ? ['s0'] : ['later', 's0']);
      if (expected === 'old') expect(reply.body.metadata.resourceVersion).toBe(old);
      else expect(Number(reply.body.metadata.resourceVersion)).toBeGreaterThan(Number(old));
    });

    test('a revision that has not happened is waited for, then 504 with its cause', async () => {
      const ns = await fill(1);
      const waiting = api().get(`${secretsOf(ns)}?resourceVersion=${FUTURE}`);
      await api().target.elapse(5_000);
      expect(await api().expect(504, waiting)).toMatchObject({
        reason: 'Timeout',
        message: expect.stringMatching(/^Timeout: Too large resource version: 1000000000000, current: \d+$/),
        details: {
          causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
          retryAfterSeconds: 1,
        },
      });
    });

    test('a revision that happens while it is waited for is answered', async () => {
      const ns = await fill(1);
      const next = (await api().revision()) + 1;
      const waiting = api().get(`${secretsOf(ns)}?resourceVersion=${next}`);
      await api().expect(201, api().post(secretsOf(ns), secret('awaited')));
      const reply = await waiting;
      expect(reply.status).toBe(200);
      expect(Number(reply.body.metadata.resourceVersion)).toBeGreaterThanOrEqual(next);
    });

    test('a get takes a resourceVersion likewise', async () => {
      const ns = await fill(1);
      const { metadata } = await api().expect(200, api().get(`${secretsOf(ns)}/s0?resourceVersion=0`));
      await api().expect(200, api().get(`${secretsOf(ns)}/s0?resourceVersion=${metadata.resourceVersion}`));
      const waiting = api().get(`${secretsOf(ns)}/s0?resourceVersion=${FUTURE}`);
      await api().target.elapse(5_000);
      await api().expect(504, waiting);
    });
  });

  describe('pages', () => {
    test('go on where the last one ended, at its revision, and count what remains', async () => {
      const ns = await fill(5);
      const first = await list(ns, 'limit=2');
      expect(namesOf(first)).toEqual(['s0', 's1']);
      expect(first.metadata.remainingItemCount).toBe(3);
      await api().expect(200, api().delete(`${secretsOf(ns)}/s2`));
      await api().expect(201, api().post(secretsOf(ns), secret('s9')));
      const second = await list(ns, `limit=2&continue=${first.metadata.continue}`);
      expect(namesOf(second)).toEqual(['s2', 's3']);
      expect(second.metadata).toMatchObject({ resourceVersion: first.metadata.resourceVersion, remainingItemCount: 1 });
      const third = await list(ns, `limit=2&continue=${second.metadata.continue}`);
      expect(namesOf(third)).toEqual(['s4']);
      expect(third.metadata).toEqual({ resourceVersion: first.metadata.resourceVersion });
    });

    test('of exactly the whole have no token', async () => {
      const ns = await fill(2);
      expect((await list(ns, 'limit=2')).metadata).not.toHaveProperty('continue');
    });

    test('of a selection do not count what remains', async () => {
      const ns = await fill(5);
      for (const selector of ['labelSelector=even%3Dtrue', 'fieldSelector=metadata.name!%3Ds1']) {
        const first = await list(ns, `limit=2&${selector}`);
        expect(first.metadata).toHaveProperty('continue');
        expect(first.metadata).not.toHaveProperty('remainingItemCount');
        const rest = await list(ns, `continue=${first.metadata.continue}&${selector}`);
        expect([...namesOf(first), ...namesOf(rest)]).toEqual(namesOf(await list(ns, selector)));
      }
    });

    test('with a token that is none, or with a resourceVersion besides, are 400', async () => {
      const ns = await fill(3);
      const first = await list(ns, 'limit=1');
      await api().expect(400, api().get(`${secretsOf(ns)}?limit=1&continue=abc`));
      const { message } = await api().expect(
        400,
        api().get(
          `${secretsOf(ns)}?limit=1&resourceVersion=${first.metadata.resourceVersion}&continue=${first.metadata.continue}`,
        ),
      );
      expect(message).toBe('specifying resource version is not allowed when using continue');
    });

    test('of a forgotten revision are 410 with a token that goes on inconsistently; so is that revision itself', async () => {
      const ns = await fill(4);
      const first = await list(ns, 'limit=2');
      await api().expect(200, api().delete(`${secretsOf(ns)}/s2`));
      await api().target.compact();
      const expired = await api().expect(
        410,
        api().get(`${secretsOf(ns)}?limit=2&continue=${first.metadata.continue}`),
      );
      expect(expired).toMatchObject({
        reason: 'Expired',
        message: expect.stringContaining('The provided continue parameter is too old'),
      });
      const rest = await list(ns, `limit=2&continue=${expired.metadata.continue}`);
      expect(namesOf(rest)).toEqual(['s3']);
      expect(Number(rest.metadata.resourceVersion)).toBeGreaterThan(Number(first.metadata.resourceVersion));
      const exact = `resourceVersion=${first.metadata.resourceVersion}&resourceVersionMatch=Exact`;
      expect(await api().expect(410, api().get(`${secretsOf(ns)}?${exact}`))).toMatchObject({ reason: 'Expired' });
    });
  });

  describe('a label selector', () => {
    test.each([
      ['app=a', ['one']],
      ['app==a', ['one']],
      ['app!=a', ['none', 'two']],
      ['app in (a,b)', ['one', 'two']],
      ['app notin (a)', ['none', 'two']],
      ['app', ['one', 'two']],
      ['!app', ['none']],
      ['app in (a,b),tier', ['two']],
      ['tier>5', ['two']],
      ['tier<5', []],
    ])('%s', async (selector, expected) => {
      const ns = await api().namespace();
      await api().expect(201, api().post(secretsOf(ns), secret('one', { app: 'a' })));
      await api().expect(201, api().post(secretsOf(ns), secret('two', { app: 'b', tier: '7' })));
      await api().expect(201, api().post(secretsOf(ns), secret('none')));
      expect(namesOf(await list(ns, `labelSelector=${encodeURIComponent(selector)}`))).toEqual(expected);
    });

    test('that does not parse is 400', async () => {
      const ns = await api().namespace();
      await api().expect(400, api().get(`${secretsOf(ns)}?labelSelector=${encodeURIComponent('a in (b')}`));
    });
  });

  describe('a field selector', () => {
    test('matches, and does not match, values', async () => {
      const ns = await fill(3);
      expect(namesOf(await list(ns, 'fieldSelector=metadata.name%3Ds1'))).toEqual(['s1']);
      expect(namesOf(await list(ns, 'fieldSelector=metadata.name!%3Ds1,type%3DOpaque'))).toEqual(['s0', 's2']);
      expect(namesOf(await list(ns, 'fieldSelector=type%3Dother'))).toEqual([]);
    });

    test('finds pods by their node', async () => {
      const ns = await api().namespace();
      for (const [name, node] of [
        ['a', 'n1'],
        ['b', 'n2'],
        ['c', undefined],
      ] as const)
        await api().expect(201, api().post(podsOf(ns), pod(name, node)));
      const find = async (selector: string) =>
        namesOf(await api().expect(200, api().get(`${podsOf(ns)}?fieldSelector=${encodeURIComponent(selector)}`)));
      expect(await find('spec.nodeName=n1')).toEqual(['a']);
      expect(await find('spec.nodeName=')).toEqual(['c']);
      expect(await find('spec.nodeName!=n1,spec.schedulerName=nobody')).toEqual(['b', 'c']);
    });

    const MORE: Readonly<Record<string, readonly string[]>> = {
      '/api/v1/pods': [
        'spec.nodeName',
        'spec.restartPolicy',
        'spec.schedulerName',
        'spec.serviceAccountName',
        'spec.hostNetwork',
        'status.phase',
        'status.podIP',
        'status.nominatedNodeName',
      ],
      '/api/v1/events': [
        'involvedObject.kind',
        'involvedObject.namespace',
        'involvedObject.name',
        'involvedObject.uid',
        'involvedObject.apiVersion',
        'involvedObject.resourceVersion',
        'involvedObject.fieldPath',
        'reason',
        'reportingComponent',
        'source',
        'type',
      ],
      '/apis/events.k8s.io/v1/events': [
        'regarding.kind',
        'regarding.namespace',
        'regarding.name',
        'regarding.uid',
        'regarding.apiVersion',
        'regarding.resourceVersion',
        'regarding.fieldPath',
        'reason',
        'reportingController',
        'type',
      ],
      '/api/v1/secrets': ['type'],
      '/api/v1/services': ['spec.clusterIP', 'spec.type'],
      '/api/v1/namespaces': ['status.phase'],
      '/api/v1/nodes': ['spec.unschedulable'],
      '/apis/apps/v1/replicasets': ['status.replicas'],
      '/api/v1/replicationcontrollers': ['status.replicas'],
      '/apis/batch/v1/jobs': ['status.successful'],
      '/apis/resource.k8s.io/v1/resourceslices': ['spec.nodeName', 'spec.driver'],
      '/apis/certificates.k8s.io/v1/certificatesigningrequests': ['spec.signerName'],
    };

    test.each(Object.entries(MORE).flatMap(([path, fields]) => fields.map((field) => [path, field] as const)))(
      'of %s may name %s',
      async (path, field) => {
        await api().expect(200, api().get(`${path}?fieldSelector=${field}%3Dnothing`));
      },
    );

    test.each([
      ['/api/v1/pods', 'field label not supported: spec.nothing'],
      [
        '/api/v1/configmaps',
        '"spec.nothing" is not a known field selector: only "metadata.name", "metadata.namespace"',
      ],
    ])('of %s that names what is not selectable is 400', async (path, message) => {
      const answer = await api().expect(400, api().get(`${path}?fieldSelector=spec.nothing%3Dx`));
      expect(answer).toMatchObject({ reason: 'BadRequest', message });
      await api().expect(400, api().get(`${path}?watch=true&fieldSelector=spec.nothing%3Dx`));
    });

    test('that does not parse is 400', async () => {
      await api().expect(400, api().get('/api/v1/pods?fieldSelector=spec.nodeName'));
    });
  });

  describe('other forms of an answer', () => {
    test('a Table has the columns of kubectl and, by default, the metadata of each row', async () => {
      const ns = await fill(2);
      const { body, headers } = await api().get(secretsOf(ns), { accept: TABLE });
      expect(headers['content-type']).toContain('application/json');
      expect(body).toMatchObject({
        kind: 'Table',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { resourceVersion: expect.any(String) },
      });
      expect(body.columnDefinitions.map(({ name }: Answer) => name)).toEqual(['Name', 'Type', 'Data', 'Age']);
      expect(body.rows[0].cells.slice(0, 3)).toEqual(['s0', 'Opaque', 1]);
      expect(body.rows[0].object).toMatchObject({
        kind: 'PartialObjectMetadata',
        apiVersion: 'meta.k8s.io/v1',
        metadata: { name: 's0' },
      });
    });

    test.each([
      ['None', undefined],
      ['Metadata', 'PartialObjectMetadata'],
      ['Object', 'Secret'],
    ])('a Table with includeObject=%s carries %s', async (include, kind) => {
      const ns = await fill(1);
      for (const path of [secretsOf(ns), `${secretsOf(ns)}/s0`]) {
        const { body } = await api().get(`${path}?includeObject=${include}`, { accept: TABLE });
        expect(body.kind).toBe('Table');
        expect(body.rows[0].object?.kind).toBe(kind);
      }
    });

    test('a Table of a subresource has the columns of what the subresource shows', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(deploymentsOf(ns), deployment('a')));
      await api().expect(201, api().post(podsOf(ns), pod('p')));
      const columns = async (path: string) => {
        const { body } = await api().get(path, { accept: TABLE });
        return { names: body.columnDefinitions.map(({ name }: { name: string }) => name), cells: body.rows[0].cells };
      };
      const scale = await columns(`${deploymentsOf(ns)}/a/scale`);
      expect(scale).toEqual({ names: ['Name', 'Desired', 'Available', 'Age'], cells: ['a', 0, 0, expect.any(String)] });
      expect((await columns(`${podsOf(ns)}/p/resize`)).names).toEqual((await columns(`${podsOf(ns)}/p`)).names);
    });

    test('a Table with another includeObject is refused', async () => {
      const ns = await fill(1);
      const { status, body } = await api().get(`${secretsOf(ns)}?includeObject=All`, { accept: TABLE });
      expect([status, body.kind]).toEqual([422, 'Status']);
    });

    test('pages of a Table carry the token', async () => {
      const ns = await fill(3);
      const { body } = await api().get(`${secretsOf(ns)}?limit=2`, { accept: TABLE });
      expect(body.metadata).toMatchObject({ continue: expect.any(String), remainingItemCount: 1 });
    });

    test.each(['v1', 'v1beta1'])('metadata alone, of one and of all, in %s', async (version) => {
      const ns = await fill(1);
      const accept = (as: string) => ({ accept: `application/json;as=${as};g=meta.k8s.io;v=${version}` });
      const one = await api().get(`${secretsOf(ns)}/s0`, accept('PartialObjectMetadata'));
      expect(one.body).toMatchObject({
        kind: 'PartialObjectMetadata',
        apiVersion: `meta.k8s.io/${version}`,
        metadata: { name: 's0' },
      });
      expect(one.body).not.toHaveProperty('data');
      const all = await api().get(secretsOf(ns), accept('PartialObjectMetadataList'));
      expect(all.body).toMatchObject({ kind: 'PartialObjectMetadataList', items: [{ metadata: { name: 's0' } }] });
      expect(all.body.items[0]).not.toHaveProperty('data');
    });

    test('pretty=true is indented', async () => {
      const ns = await fill(1);
      const { text } = await api().get(`${secretsOf(ns)}/s0?pretty=true`);
      expect(text).toContain('\n  "kind": "Secret"');
      expect((await api().get(`${secretsOf(ns)}?pretty=true`)).text).toContain('\n  "kind": "SecretList"');
    });

    test('YAML', async () => {
      const ns = await fill(1);
      const { text, headers } = await api().get(`${secretsOf(ns)}/s0`, { accept: 'application/yaml' });
      expect(headers['content-type']).toBe('application/yaml');
      expect(text).toContain('kind: Secret\n');
    });

    test('protobuf begins with its magic', async () => {
      const ns = await fill(1);
      const accept = { accept: 'application/vnd.kubernetes.protobuf' };
      for (const path of [secretsOf(ns), `${secretsOf(ns)}/s0`]) {
        const { bytes, headers } = await api().get(path, accept);
        expect(headers['content-type']).toBe('application/vnd.kubernetes.protobuf');
        expect([...bytes.subarray(0, 4)]).toEqual([0x6b, 0x38, 0x73, 0x00]);
      }
    });

    test('what nobody can write is 406', async () => {
      const ns = await fill(1);
      const { status, body } = await api().get(secretsOf(ns), { accept: 'text/html' });
      expect([status, body.reason]).toEqual([406, 'NotAcceptable']);
    });

    test.runIf(isRemote)('large answers are compressed for those who take it, small ones for nobody', async () => {
      const ns = await api().namespace();
      await api().expect(201, api().post(configMapsOf(ns), configMap('big', { pad: 'y'.repeat(200_000) })));
      await api().expect(201, api().post(configMapsOf(ns), configMap('small')));
      const packed = await api().get(`${configMapsOf(ns)}/big`, { 'accept-encoding': 'gzip' });
      expect(packed.headers).toMatchObject({
        'content-encoding': 'gzip',
        vary: expect.stringContaining('Accept-Encoding'),
      });
      expect(JSON.parse(gunzipSync(packed.bytes).toString()).data.pad).toHaveLength(200_000);
      for (const [path, encoding] of [
        ['big', 'identity'],
        ['small', 'gzip'],
      ] as const)
        expect(
          (await api().get(`${configMapsOf(ns)}/${path}`, { 'accept-encoding': encoding })).headers,
        ).not.toHaveProperty('content-encoding');
    });

    test('HEAD has no body', async () => {
      const ns = await fill(1);
      const { status, bytes } = await api().send({ method: 'HEAD', path: `${secretsOf(ns)}/s0` });
      if (isRemote) expect([status, bytes.byteLength]).toEqual([200, 0]);
      else expect(status).toBe(200);
    });
  });
}
