import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { builtinResources } from '#controller/apiserver/resources/builtin-resources.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createTestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { createTestServer } from '#controller/apiserver/server/testing/test-server.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

/** The real kubectl against the API server alone: no controller acts, so objects stay as kubectl leaves them. */
let server: HttpsServer;
let folder: string;
let kubeconfig: string;

beforeAll(async () => {
  const authority = await createTestAuthority();
  const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
  const definitions = builtinResources({
    podSubresources: [],
    nodeSubresources: [],
    serviceSubresources: [],
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
  });
  server = await listenHttps({
    host: '127.0.0.1',
    port: 0,
    tls: { ...serving, ca: authority.cert },
    handler: createTestServer({ definitions }).server.handle,
    log: silentLogger,
  });
  folder = mkdtempSync(join(tmpdir(), 'coracle-kubectl-'));
  kubeconfig = join(folder, 'config');
  const cluster = {
    server: `https://127.0.0.1:${server.port}`,
    'certificate-authority-data': Buffer.from(authority.cert).toString('base64'),
  };
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster }],
    users: [{ name: 'u', user: { token: 'any' } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'c',
  };
  writeFileSync(kubeconfig, JSON.stringify(config));
});
afterAll(async () => {
  await server?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
});

const run = (args: string, stdin?: string) =>
  runKubectl(args.split(' '), { kubeconfig, timeoutMs: 30_000, ...(stdin === undefined ? {} : { stdin }) });

async function succeed(args: string, stdin?: string): Promise<string> {
  const { code, stdout, stderr } = await run(args, stdin);
  if (code !== 0) throw new Error(`kubectl ${args}: ${code}\n${stdout}${stderr}`);
  return stdout;
}

const manifest = (image: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: a, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "${image}", env: [{name: A, value: "1"}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: web, namespace: a}
data: {key: value}
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: a}
stringData: {key: value}
`;

describe('kubectl', () => {
  test('tells the version and lists the resources', async () => {
    expect(await succeed('version')).toMatch(/Server Version: v1\.36\.0\+coracle\./);
    const resources = await succeed('api-resources');
    expect(resources).toMatch(/^pods\s+po\s+v1\s+true\s+Pod$/m);
    expect(resources).toMatch(/^deployments\s+deploy\s+apps\/v1\s+true\s+Deployment$/m);
  });

  test('creates from typed commands, which it sends as protobuf', async () => {
    expect(await succeed('create namespace a')).toBe('namespace/a created\n');
    expect(await succeed('-n a create configmap typed --from-literal=x=y')).toBe('configmap/typed created\n');
    expect(await succeed('-n a get configmap typed -o jsonpath={.data.x}')).toBe('y');
  });

  test('applies, applies again, and changes by applying', async () => {
    expect(await succeed('apply -f -', manifest('one'))).toContain('deployment.apps/web created');
    expect(await succeed('apply -f -', manifest('one'))).toContain('deployment.apps/web unchanged');
    expect(await succeed('apply -f -', manifest('two'))).toContain('deployment.apps/web configured');
    expect((await run('diff -f -', manifest('three'))).stdout).toContain('image: three');
    const image = 'jsonpath={.spec.template.spec.containers[0].image}';
    expect(await succeed(`-n a get deployment web -o ${image}`)).toBe('two');
  });

  test('prints the columns that users know', async () => {
    expect(await succeed('-n a get deployments')).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE\nweb +0\/2 /);
    expect(await succeed('-n a get services')).toMatch(/^NAME +TYPE +CLUSTER-IP +EXTERNAL-IP +PORT\(S\) +AGE\n/);
    expect(await succeed('-n a get secrets')).toMatch(/\nweb +Opaque +1 /);
  });

  test('scales, labels, annotates, patches and sets', async () => {
    await succeed('-n a scale deployment web --replicas=3');
    await succeed('-n a label deployment web more=yes');
    await succeed('-n a annotate deployment web note=this');
    await succeed('-n a set image deployment/web c=three');
    await succeed('-n a patch deployment web --type=json -p [{"op":"add","path":"/spec/paused","value":true}]');
    const text = await succeed('-n a get deployment web -o json');
    expect(JSON.parse(text)).toMatchObject({
      metadata: { labels: { more: 'yes' }, annotations: { note: 'this' } },
      spec: {
        replicas: 3,
        paused: true,
        template: { spec: { containers: [{ image: 'three', env: [{ name: 'A' }] }] } },
      },
    });
  });

  test('applies on the server and is told of conflicts', async () => {
    const config = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: web, namespace: a}\ndata: {key: other}\n';
    expect(await succeed('apply --server-side -f -', config)).toContain('configmap/web serverside-applied');
    await succeed('-n a patch configmap web -p {"data":{"key":"mine"}} --field-manager=somebody');
    const refused = await run('apply --server-side -f -', config);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('conflict with "somebody" using v1: .data.key');
    await succeed('apply --server-side --force-conflicts -f -', config);
  });

  test('names unknown fields and invalid values', async () => {
    const unknown = await run('create -f -', manifest('x').replace('replicas:', 'replicaz:'));
    expect(unknown.stderr).toContain('strict decoding error: unknown field "spec.replicaz"');
    const invalid = await run('-n a scale deployment web --replicas=-1');
    expect(invalid.code).not.toBe(0);
  });

  test('waits and watches', async () => {
    const waiting = run('-n a wait --for=jsonpath={.data.x}=z configmap/typed --timeout=150s');
    await succeed('-n a patch configmap typed -p {"data":{"x":"z"}}');
    expect((await waiting).stdout).toBe('configmap/typed condition met\n');
  });

  test('explains fields', async () => {
    const text = await succeed('explain pod.spec.containers.image');
    expect(text).toContain('FIELD: image <string>');
  });

  test('deletes and waits until the object is gone', async () => {
    expect(await succeed('-n a delete configmap typed')).toContain('configmap "typed" deleted');
    expect((await run('-n a get configmap typed')).stderr).toContain('configmaps "typed" not found');
    await succeed('-n a delete deployment,service,secret --all');
  });
});
