import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { helmPath, kubectlPath, runKubectl } from '#test/kit/kubectl.ts';

/** As the charts of ingress controllers are: a class that is the default, an identity with the rights that they ask for, a balanced Service. */
const CHART: Readonly<Record<string, string>> = {
  'Chart.yaml': 'apiVersion: v2\nname: door\nversion: 0.1.0\n',
  'templates/class.yaml': `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: { name: door, annotations: { ingressclass.kubernetes.io/is-default-class: 'true' } }
spec: { controller: example.com/door }
`,
  'templates/rights.yaml': `
apiVersion: v1
kind: ServiceAccount
metadata: { name: door }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: door }
rules:
  - { apiGroups: [networking.k8s.io], resources: [ingresses, ingressclasses], verbs: [get, list, watch] }
  - { apiGroups: [networking.k8s.io], resources: [ingresses/status], verbs: [get, update, patch] }
  - { apiGroups: [''], resources: [services, events], verbs: [get, list, watch, create, patch] }
  - { apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: door }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: door }
subjects: [{ kind: ServiceAccount, name: door, namespace: {{ .Release.Namespace }} }]
`,
  'templates/proxy.yaml': `
apiVersion: apps/v1
kind: Deployment
metadata: { name: door }
spec:
  selector: { matchLabels: { app: door } }
  template:
    metadata: { labels: { app: door } }
    spec: { serviceAccountName: door, containers: [{ name: proxy, image: example.com/door:1, ports: [{ name: http, containerPort: 80 }] }] }
---
apiVersion: v1
kind: Service
metadata: { name: door }
spec: { type: LoadBalancer, externalTrafficPolicy: Local, selector: { app: door }, ports: [{ name: http, port: 80, targetPort: http }] }
`,
};

/** What a controller of somebody else does to Ingress objects, by a real client with rights of its own. */
describe('an ingress controller that helm installs', () => {
  let controller: ControllerProcess;
  let kubeconfig: string;
  let token: string;
  let watch: ChildProcess | undefined;
  let seen = '';

  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    kubeconfig = join(controller.folder, 'loopback.kubeconfig');
    const text = readFileSync(controller.kubeconfig, 'utf8');
    writeFileSync(kubeconfig, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
    for (const [name, content] of Object.entries(CHART)) {
      const path = join(controller.folder, 'door', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
    await helm('install', 'door', join(controller.folder, 'door'));
    token = (await user('create', 'token', 'door')).trim();
    // A client certificate would win over the token.
    const [server = '', ca = ''] = [/server: .*/, /certificate-authority-data: .*/].map((line) => line.exec(text)?.[0]);
    writeFileSync(
      join(controller.folder, 'door.kubeconfig'),
      `apiVersion: v1
kind: Config
current-context: door
contexts: [{ name: door, context: { cluster: here, user: door } }]
users: [{ name: door, user: { token: ${token} } }]
clusters:
  - name: here
    cluster:
      ${server.replace(/server: .*/, `server: ${controller.access.server}`)}
      ${ca}
`,
      { mode: 0o600 },
    );
  });
  afterAll(async () => {
    watch?.kill('SIGKILL');
    await controller?.stop();
  });

  function helm(...args: string[]): Promise<string> {
    const home = join(controller.folder, 'helm');
    const env = { ...process.env, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    return new Promise((resolve, reject) => {
      execFile(helmPath(), ['--kubeconfig', kubeconfig, ...args], { env }, (err, stdout, stderr) =>
        err === null ? resolve(stdout) : reject(new Error(`helm ${args.join(' ')}: ${stderr}${stdout}`)),
      );
    });
  }
  const run = (config: string, args: readonly string[]) => runKubectl(args, { kubeconfig: config, timeoutMs: 60_000 });
  async function ok(config: string, args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await run(config, args);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${code}: ${stdout}${stderr}`);
    return stdout;
  }
  const user = (...args: string[]) => ok(kubeconfig, args);
  const doorConfig = () => join(controller.folder, 'door.kubeconfig');
  const door = (...args: string[]) => ok(doorConfig(), args);
  const addressOf = (ip: string) => JSON.stringify({ status: { loadBalancer: { ingress: [{ ip }] } } });

  it('has its class, and sees Ingresses of it come', async () => {
    expect(await door('get', 'ingressclass')).toMatch(/^door\s+example\.com\/door\s+<none>/m);
    watch = spawn(
      kubectlPath(),
      [
        '--kubeconfig',
        doorConfig(),
        'get',
        'ingresses',
        '-A',
        '--watch',
        '-o',
        'jsonpath={.metadata.name} {.spec.ingressClassName} {.metadata.generation}{"\\n"}',
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    watch.stdout?.on('data', (data) => (seen += data));
    await user('create', 'service', 'clusterip', 'web', '--tcp=80:8080');
    await user('create', 'ingress', 'web', '--rule=a.example/*=web:80,tls=web-tls');
    await user('create', 'ingress', 'elsewhere', '--class=other', '--rule=b.example/*=web:80');
    await expect.poll(() => seen).toMatch(/^web door 1$/m);
    await expect.poll(() => seen).toMatch(/^elsewhere other 1$/m);
  });

  it('writes their status, and nothing else that it has no right to', async () => {
    await door('patch', 'ingress', 'web', '--subresource=status', '--type=merge', '-p', addressOf('192.0.2.80'));
    expect(await user('get', 'ingress', 'web')).toMatch(/^web\s+door\s+a\.example\s+192\.0\.2\.80\s+80, 443\s/m);
    expect(await door('get', 'endpointslices,services', '-A')).toContain('web');
    const spec = await run(doorConfig(), ['patch', 'ingress', 'web', '--type=merge', '-p', '{"spec":{"rules":[]}}']);
    expect(spec.stderr).toMatch(/forbidden.*cannot patch resource "ingresses"/i);
    const secrets = await run(doorConfig(), ['get', 'secrets', '-A']);
    expect(secrets.stderr).toMatch(/forbidden.*cannot list resource "secrets"/i);
  });

  it('keeps the status while users change the rest, and is told', async () => {
    await user('patch', 'ingress', 'web', '--type=merge', '-p', addressOf('198.51.100.66'));
    const rule = { host: 'c.example', http: { paths: [{ path: '/x', pathType: 'Exact', backend: backendOf('web') }] } };
    await user('patch', 'ingress', 'web', '--type=merge', '-p', JSON.stringify({ spec: { rules: [rule] } }));
    await expect.poll(() => seen).toMatch(/^web door 2$/m);
    expect(await user('get', 'ingress', 'web')).toMatch(/^web\s+door\s+c\.example\s+192\.0\.2\.80\s/m);
    expect(await user('describe', 'ingress', 'web')).toMatch(/c\.example\s+\/x\s+web:80/);
  });

  it('is spared rules that mean nothing', async () => {
    const rule = { http: { paths: [{ path: 'x', backend: backendOf('web') }] } };
    const refused = await run(kubeconfig, [
      'patch',
      'ingress',
      'web',
      '--type=merge',
      '-p',
      JSON.stringify({ spec: { rules: [rule] } }),
    ]);
    expect(refused.stderr).toMatch(/spec\.rules\[0\]\.http\.paths\[0\]\.pathType: Required value/);
  });

  it('goes with its release; the Ingresses stay', async () => {
    await helm('uninstall', 'door');
    expect(await user('get', 'ingressclasses,clusterroles', '-o', 'name')).not.toMatch(/\/door$/m);
    expect(await user('get', 'ingress', 'web', '-o', 'jsonpath={.spec.ingressClassName}')).toBe('door');
  });
});

const backendOf = (name: string) => ({ service: { name, port: { number: 80 } } });
