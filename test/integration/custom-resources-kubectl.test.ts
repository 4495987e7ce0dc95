import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { createResourceServer } from '#controller/apiserver/resources/testing/resource-server.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createTestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

/** The real kubectl and a custom kind, from its definition to its end. The tests stand on each other, in their order. */
let server: HttpsServer;
let folder: string;
let kubeconfig: string;

beforeAll(async () => {
  const authority = await createTestAuthority();
  const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
  server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, ca: authority.cert },
    handler: createResourceServer().server.handle,
    log: silentLogger,
  });
  folder = mkdtempSync(join(tmpdir(), 'coracle-crd-'));
  kubeconfig = join(folder, 'config');
  const cluster = {
    server: `https://127.0.0.1:${server.port}`,
    'certificate-authority-data': Buffer.from(authority.cert).toString('base64'),
  };
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      users: [{ name: 'u', user: { token: 'any' } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    }),
  );
});
afterAll(async () => {
  await server?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const run = (args: readonly string[], stdin?: object) =>
  runKubectl(args, {
    kubeconfig,
    timeoutMs: 30_000,
    ...(stdin === undefined ? {} : { stdin: JSON.stringify(stdin) }),
  });

async function succeed(args: string, stdin?: object): Promise<string> {
  const { code, stdout, stderr } = await run(args.split(' '), stdin);
  if (code !== 0) throw new Error(`kubectl ${args}: ${code}\n${stdout}${stderr}`);
  return stdout;
}

async function fail(args: string, stdin?: object): Promise<string> {
  const { code, stdout, stderr } = await run(args.split(' '), stdin);
  if (code === 0) throw new Error(`kubectl ${args} did not fail:\n${stdout}`);
  return stderr;
}

const schema = (spec: object) => ({
  openAPIV3Schema: {
    type: 'object',
    description: 'A tab of crons.',
    properties: { spec, status: { type: 'object', properties: { replicas: { type: 'integer' } } } },
  },
});

const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'crontabs.stable.example.com' },
  spec: {
    group: 'stable.example.com',
    scope: 'Namespaced',
    names: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'], categories: ['all'] },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: schema({
          type: 'object',
          description: 'What is wanted.',
          required: ['cronSpec'],
          properties: {
            cronSpec: { type: 'string', description: 'When it runs.', maxLength: 20 },
            replicas: { type: 'integer', minimum: 1, default: 1 },
          },
          'x-kubernetes-validations': [{ rule: 'self.replicas <= 10', message: 'at most ten' }],
        }),
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
        additionalPrinterColumns: [
          { name: 'Spec', type: 'string', jsonPath: '.spec.cronSpec' },
          { name: 'Replicas', type: 'integer', jsonPath: '.spec.replicas', priority: 1 },
        ],
      },
      {
        name: 'v1beta1',
        served: true,
        storage: false,
        deprecated: true,
        schema: schema({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }),
      },
    ],
  },
};

const tab = (name: string, spec: object) => ({
  apiVersion: 'stable.example.com/v1',
  kind: 'CronTab',
  metadata: { name, namespace: 'default' },
  spec,
});

describe('kubectl and a custom kind', () => {
  test('creates the definition, waits for it, and finds the kind at once', async () => {
    await succeed('create -f -', definition);
    await succeed('wait --for=condition=Established crd/crontabs.stable.example.com --timeout=150s');
    const found = await succeed('api-resources --api-group=stable.example.com --no-headers');
    expect(found.trim().split(/\s+/)).toEqual(['crontabs', 'ct', 'stable.example.com/v1', 'true', 'CronTab']);
  });

  test('explains it, in each version', async () => {
    expect(await succeed('explain crontab.spec')).toMatch(/What is wanted\.[\s\S]*cronSpec\s+<string> -required-/);
    expect(await succeed('explain ct.spec.cronSpec')).toContain('When it runs.');
    const older = await succeed('explain ct --api-version=stable.example.com/v1beta1');
    expect(older).toMatch(/VERSION:\s+v1beta1/);
  });

  test('creates, prints and reads an object', async () => {
    await succeed('create -f -', tab('a', { cronSpec: '* *' }));
    expect(await succeed('get ct')).toMatch(/^NAME\s+SPEC\s*\na\s+\* \*/);
    expect(await succeed('get ct -o wide')).toMatch(/^NAME\s+SPEC\s+REPLICAS\s*\na\s+\* \*\s+1/);
    expect(await succeed('get ct a -o jsonpath={.spec.replicas}')).toBe('1');
    expect(await succeed('get all')).toContain('crontab.stable.example.com/a');
  });

  test('reads a deprecated version with a warning', async () => {
    const { stdout, stderr } = await run(['get', 'crontabs.v1beta1.stable.example.com', 'a', '-o', 'yaml']);
    expect(stdout).toContain('apiVersion: stable.example.com/v1beta1');
    expect(stderr).toContain(
      'Warning: stable.example.com/v1beta1 CronTab is deprecated; use stable.example.com/v1 CronTab',
    );
  });

  test.each<[string, object, string]>([
    ['an unknown field', { cronSpec: 'x', image: 'y' }, 'strict decoding error: unknown field "spec.image"'],
    ['a missing field', {}, 'spec.cronSpec: Required value'],
    [
      'a wrong type',
      { cronSpec: 1 },
      'Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"',
    ],
    ['a broken rule', { cronSpec: 'x', replicas: 11 }, 'spec: Invalid value: "object": at most ten'],
  ])('is refused %s', async (_name, spec, message) => {
    expect(await fail('create -f -', tab('b', spec))).toContain(message);
  });

  test('applies on the client and on the server, and sees conflicts', async () => {
    await succeed('apply -f -', tab('c', { cronSpec: 'one' }));
    await succeed('apply -f -', tab('c', { cronSpec: 'two' }));
    expect(await succeed('get ct c -o jsonpath={.spec.cronSpec}')).toBe('two');
    await succeed('apply --server-side -f -', tab('d', { cronSpec: 'one' }));
    const other = 'apply --server-side --field-manager=other -f -';
    expect(await fail(other, tab('d', { cronSpec: 'two' }))).toContain('conflict with "kubectl": .spec.cronSpec');
    await succeed(`${other} --force-conflicts`, tab('d', { cronSpec: 'two' }));
    const { code, stdout } = await run(['diff', '-f', '-'], tab('c', { cronSpec: 'three' }));
    expect(code, stdout).toBe(1);
    expect(stdout).toContain('+  cronSpec: three');
  });

  test('patches it, but not with a strategic merge', async () => {
    const merge = ['patch', 'ct', 'a', '--type=merge', '-p', '{"spec":{"cronSpec":"new"}}'];
    expect((await run(merge)).code).toBe(0);
    const json = ['patch', 'ct', 'a', '--type=json', '-p', '[{"op":"replace","path":"/spec/replicas","value":2}]'];
    expect((await run(json)).code).toBe(0);
    expect(await succeed('get ct a -o jsonpath={.spec}')).toBe('{"cronSpec":"new","replicas":2}');
    expect((await run(['patch', 'ct', 'a', '-p', '{"spec":{}}'])).stderr).toContain('is not supported by');
  });

  test('scales it', async () => {
    await succeed('scale ct/a --replicas=4');
    expect(await succeed('get ct a -o jsonpath={.spec.replicas}')).toBe('4');
    expect(await fail('scale ct/a --replicas=40')).toContain('at most ten');
  });

  test('writes its status apart from the rest', async () => {
    const patch = ['patch', 'ct', 'a', '--subresource=status', '--type=merge', '-p', '{"status":{"replicas":3}}'];
    expect((await run(patch)).code).toBe(0);
    expect(await succeed('get ct a -o jsonpath={.status.replicas},{.metadata.generation}')).toMatch(/^3,/);
  });

  test('deletes an object, then the definition with all that is left', async () => {
    await succeed('delete ct a');
    await succeed('delete crd crontabs.stable.example.com --timeout=150s');
    expect(await fail('get crontabs.stable.example.com')).toContain("the server doesn't have a resource type");
    await succeed('create -f -', definition);
    await succeed('wait --for=condition=Established crd/crontabs.stable.example.com --timeout=150s');
    expect(await succeed('get ct --ignore-not-found')).toBe('');
  });
});
