import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { builtinResources } from '#controller/apiserver/resources/builtin-resources.ts';
import { type HttpsServer, listenHttps } from '#controller/apiserver/server/http-adapter.ts';
import { createTestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { createTestServer } from '#controller/apiserver/server/testing/test-server.ts';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { kubectlPath, runKubectl } from '#test/kit/kubectl.ts';

const missing = missingKubectl();
if (missing !== undefined) console.warn(`kubectl-validation: skipped, ${missing}`);

function missingKubectl(): string | undefined {
  try {
    kubectlPath();
    return undefined;
  } catch (err) {
    return `no kubectl: ${String(err)}`;
  }
}

const LIST = `
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web}
  spec:
    selector: {matchLabels: {app: web}}
    strategy: {rollingUpdate: {maxSurge: 25%, maxUnavailable: 1}}
    template:
      metadata: {labels: {app: web}}
      spec:
        containers:
        - {name: web, image: web, resources: {limits: {cpu: 0.5, memory: 64Mi}}, ports: [{containerPort: 80}]}
- apiVersion: v1
  kind: Service
  metadata: {name: web}
  spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {a: b}}
- {apiVersion: v1, kind: Secret, metadata: {name: web}, stringData: {a: b}}
`;

/** What kubectl validates by itself, with OpenAPI v2 in protobuf, because the server cannot: lists, and kinds that it does not know. */
describe.skipIf(missing !== undefined)('the real kubectl validating with OpenAPI v2', () => {
  let folder: string;
  let server: HttpsServer;

  beforeAll(async () => {
    const authority = await createTestAuthority();
    const admin = await authority.issue({ commonName: 'admin', organizations: ['system:masters'] }, 'client auth');
    const serving = await authority.issue({ commonName: 'apiserver', organizations: [] }, 'server auth');
    const api = createTestServer({
      definitions: builtinResources({
        podSubresources: [],
        nodeSubresources: [],
        serviceSubresources: [],
        serviceCidr: '10.96.0.0/16',
        nodePortRange: { from: 30_000, to: 32_767 },
        nowMs: () => Date.now(),
        random: Math.random,
      }),
    });
    server = await listenHttps({
      host: '127.0.0.1',
      port: 0,
      tls: { ...serving, ca: authority.cert },
      handler: api.server.handle,
      log: silentLogger,
    });
    folder = await mkdtemp(join(tmpdir(), 'coracle-kubectl-validation-'));
    const kubeconfig = renderKubeconfig({
      servers: [`https://127.0.0.1:${server.port}`],
      caPem: authority.cert,
      certificatePem: admin.cert,
      privateKeyPem: admin.key,
    });
    await writeFile(join(folder, 'kubeconfig'), kubeconfig);
  });
  afterAll(async () => {
    await server?.close();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  });

  const kubectl = (args: readonly string[], stdin = '') =>
    runKubectl(args, { kubeconfig: join(folder, 'kubeconfig'), stdin });

  it('applies a List', async () => {
    const created = ['deployment.apps/web', 'service/web', 'configmap/web', 'secret/web'];
    expect(await kubectl(['apply', '-f', '-'], LIST)).toEqual({
      code: 0,
      stdout: created.map((name) => `${name} created\n`).join(''),
      stderr: '',
    });
  });

  it('finds the unknown field in a List', async () => {
    const result = await kubectl(['apply', '-f', '-'], LIST.replace('selector:', 'selektor:'));
    expect(result).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('unknown field "selektor" in io.k8s.api.apps.v1.DeploymentSpec'),
    });
  });

  it.each(['v1', 'example.com/v1'])('says that there is no such kind in %s', async (version) => {
    const thing = `{apiVersion: ${version}, kind: Nothing, metadata: {name: x}}`;
    expect(await kubectl(['create', '-f', '-'], thing)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`no matches for kind "Nothing" in version "${version}"`),
    });
  });

  it('leaves the fields of a Namespace to the server', async () => {
    const namespace = '{apiVersion: v1, kind: Namespace, metadata: {name: x}, extra: 1}';
    expect(await kubectl(['create', '-f', '-'], namespace)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('strict decoding error: unknown field "extra"'),
    });
  });

  it('explains a field from v2', async () => {
    const result = await kubectl(['explain', 'pods.spec.containers.ports', '--output=plaintext-openapiv2']);
    expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/containerPort\t<integer> -required-/) });
  });
});
