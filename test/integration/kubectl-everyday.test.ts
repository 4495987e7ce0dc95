import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { kubectlPath, oldKubectlPath, runKubectl } from '#test/kit/kubectl.ts';

const old = oldKubectlPath();
if (old === undefined) console.warn('kubectl 1.20: skipped, the package kubernetes-client 1.20 cannot be fetched');

interface Client {
  readonly version: string;
  readonly program: string;
  /** What only newer clients know. */
  readonly isNew: boolean;
}

const clients: readonly Client[] = [
  { version: '1.35', program: kubectlPath(), isNew: true },
  ...(old === undefined ? [] : [{ version: '1.20', program: old, isNew: false }]),
];

const web = (image: string, extra = '') => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, labels: { app: web } }
spec:
  replicas: 2
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec: { containers: [{ name: main, image: ${image} }] }
${extra}---
apiVersion: v1
kind: ConfigMap
metadata: { name: settings }
data: { colour: green }
`;

/** What users type every day, against a whole controller (no node: pods stay pending), with clients fifteen releases apart. */
describe.each(clients)('kubectl $version', ({ version, program, isNew }) => {
  let controller: ControllerProcess;
  let kubeconfig: string;
  let namespace: string;

  beforeAll(async () => {
    controller = await startControllerProcess({ fromSource: true });
    kubeconfig = join(controller.folder, 'loopback.kubeconfig');
    const text = readFileSync(controller.kubeconfig, 'utf8');
    writeFileSync(kubeconfig, text.replace(/server: .*/, `server: ${controller.access.server}`), { mode: 0o600 });
    namespace = `with-${version.replace('.', '-')}`;
    await ok('create', 'namespace', namespace);
  });
  afterAll(() => controller?.stop());

  const run = (args: readonly string[], stdin?: string, environment?: Readonly<Record<string, string>>) =>
    runKubectl(['--namespace', namespace, ...args], {
      kubeconfig,
      program,
      timeoutMs: 60_000,
      ...(stdin === undefined ? {} : { stdin }),
      ...(environment === undefined ? {} : { environment }),
    });
  const feed = async (stdin: string, ...args: string[]) => {
    const { code, stdout, stderr } = await run(args, stdin);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${code}: ${stdout}${stderr}`);
    return stdout;
  };
  const ok = (...args: string[]) => feed('', ...args);
  const fails = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(args);
    expect(code, stdout).not.toBe(0);
    return stderr;
  };
  const jsonPath = (what: string, path: string) => ok('get', ...what.split(' '), '-o', `jsonpath=${path}`);

  it('applies, tells what would change, and applies again', async () => {
    expect(await feed(web('one'), 'apply', '-f', '-')).toBe(
      'deployment.apps/web created\nconfigmap/settings created\n',
    );
    expect(await feed(web('one'), 'apply', '-f', '-')).toBe(
      'deployment.apps/web unchanged\nconfigmap/settings unchanged\n',
    );
    const diff = await run(['diff', '-f', '-'], web('two'));
    expect(diff.code).toBe(1);
    expect(diff.stdout).toMatch(/^-\s+- image: one$/m);
    expect(diff.stdout).toMatch(/^\+\s+- image: two$/m);
    expect(await feed(web('two'), 'apply', '-f', '-')).toContain('deployment.apps/web configured');
  });

  it('takes out by applying what the manifest no longer has', async () => {
    await feed(web('two', '  minReadySeconds: 3\n'), 'apply', '-f', '-');
    expect(await jsonPath('deployment web', '{.spec.minReadySeconds}')).toBe('3');
    await feed(web('two'), 'apply', '-f', '-');
    expect(await jsonPath('deployment web', '{.spec.minReadySeconds}')).toBe('');
  });

  it('applies on the server, refuses to take what others own, and takes it when forced', async () => {
    const map = (colour: string) =>
      `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: shared }\ndata: { colour: ${colour} }\n`;
    expect(await feed(map('red'), 'apply', '--server-side', '--field-manager=a', '-f', '-')).toBe(
      'configmap/shared serverside-applied\n',
    );
    const refused = await run(['apply', '--server-side', '--field-manager=b', '-f', '-'], map('blue'));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('conflict with "a": .data.colour');
    expect(refused.stderr).toContain('--force-conflicts');
    await feed(map('blue'), 'apply', '--server-side', '--field-manager=b', '--force-conflicts', '-f', '-');
    expect(await jsonPath('configmap shared', '{.data.colour}')).toBe('blue');
  });

  it('moves from client-side to server-side apply without a conflict', async () => {
    expect(await feed(web('two'), 'apply', '--server-side', '-f', '-')).toContain('serverside-applied');
    await feed(web('three'), 'apply', '--server-side', '-f', '-');
    expect(await jsonPath('deployment web', '{.spec.template.spec.containers[0].image}')).toBe('three');
  });

  it('edits', async () => {
    const environment = { KUBE_EDITOR: "sed -i 's/colour: green/colour: yellow/'" };
    const { code, stdout, stderr } = await run(['edit', 'configmap', 'settings'], '', environment);
    expect(code, stderr).toBe(0);
    expect(stdout).toBe('configmap/settings edited\n');
    expect(await jsonPath('configmap settings', '{.data.colour}')).toBe('yellow');
  });

  it.each([
    [
      'strategic',
      { spec: { template: { spec: { containers: [{ name: 'main', env: [{ name: 'A', value: '1' }] }] } } } },
    ],
    ['merge', { spec: { paused: true } }],
    ['json', [{ op: 'remove', path: '/spec/paused' }]],
  ])('patches: %s', async (type, patch) => {
    expect(await ok('patch', 'deployment', 'web', `--type=${type}`, '-p', JSON.stringify(patch))).toBe(
      'deployment.apps/web patched\n',
    );
    const { image, env } = JSON.parse(await jsonPath('deployment web', '{.spec.template.spec.containers[0]}'));
    expect({ image, env }).toEqual({ image: 'three', env: [{ name: 'A', value: '1' }] });
  });

  it('prints in every form', async () => {
    expect(await ok('get', 'deployments', '-o', 'wide')).toMatch(
      /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE +CONTAINERS +IMAGES +SELECTOR\nweb +0\/2 .* main +three +app=web\n$/,
    );
    expect(await ok('get', 'deployments', '-o', 'name')).toBe('deployment.apps/web\n');
    expect(await ok('get', 'deployments', '-o', 'custom-columns=NAME:.metadata.name,WANTED:.spec.replicas')).toBe(
      'NAME   WANTED\nweb    2\n',
    );
    expect(await ok('get', 'deployments', '-o', 'go-template={{range .items}}{{.metadata.name}}:{{end}}')).toBe('web:');
    expect(await ok('get', 'deployment', 'web', '-o', 'yaml')).toContain('apiVersion: apps/v1\nkind: Deployment\n');
    expect(await ok('get', 'deploy,cm', '-l', 'app=web', '--show-labels', '--no-headers')).toMatch(/web .* app=web\n$/);
    expect(await ok('get', 'configmaps', '--sort-by=.metadata.name', '-o', 'name')).toBe(
      'configmap/kube-root-ca.crt\nconfigmap/settings\nconfigmap/shared\n',
    );
    expect(await ok('get', 'configmaps', '--field-selector=metadata.name=shared', '-o', 'name')).toBe(
      'configmap/shared\n',
    );
    expect(await ok('get', '--raw', '/livez')).toBe('ok');
  });

  it('describes and explains', async () => {
    const text = await ok('describe', 'deployment', 'web');
    expect(text).toMatch(/Replicas:\s+2 desired/);
    expect(text).toMatch(/ScalingReplicaSet/);
    expect(await ok('explain', 'deployment.spec.strategy.rollingUpdate')).toContain('maxSurge');
    expect(await ok('explain', 'deployment', '--recursive')).toMatch(
      /managedFields[\s\S]*terminationGracePeriodSeconds/,
    );
    expect(await fails('explain', 'deployment.spec.nothing')).toMatch(/field "nothing" does not exist/);
  });

  it('rolls out: history, restart, pause, undo', async () => {
    expect(await ok('rollout', 'history', 'deployment/web')).toMatch(/REVISION[\s\S]*\n1 /);
    expect(await ok('rollout', 'restart', 'deployment/web')).toContain('restarted');
    expect(await ok('rollout', 'pause', 'deployment/web')).toContain('paused');
    expect(await ok('rollout', 'resume', 'deployment/web')).toContain('resumed');
    const before = await jsonPath('deployment web', '{.metadata.generation}');
    expect(await ok('rollout', 'undo', 'deployment/web', '--to-revision=1')).toContain('rolled back');
    expect(Number(await jsonPath('deployment web', '{.metadata.generation}'))).toBe(Number(before) + 1);
    expect(await fails('rollout', 'status', 'deployment/web', '--timeout=1s')).toContain('timed out');
  });

  it('waits for a condition, a deletion, and gives up in time', async () => {
    await ok('create', 'configmap', 'fleeting');
    const waiting = run(['wait', '--for=delete', 'configmap/fleeting', '--timeout=150s']);
    await ok('delete', 'configmap', 'fleeting');
    const { code, stderr } = await waiting;
    // The old one complains when it comes after the deletion.
    if (isNew || !stderr.includes('no matching resources found')) expect(code, stderr).toBe(0);
    expect(await fails('wait', '--for=condition=Available', 'deployment/web', '--timeout=1s')).toContain('timed out');
  });

  it('scales, labels, annotates, exposes, sets and autoscales', async () => {
    await ok('scale', 'deployment/web', '--replicas=3', '--current-replicas=2');
    await ok('label', 'deployment', 'web', 'tier=front');
    expect(await fails('label', 'deployment', 'web', 'tier=back')).toContain('--overwrite');
    await ok('annotate', 'deployment', 'web', 'note=one');
    await ok('set', 'image', 'deployment/web', 'main=four');
    await ok('expose', 'deployment', 'web', '--port=80', '--target-port=8080');
    await ok('autoscale', 'deployment', 'web', '--min=1', '--max=5', ...(isNew ? ['--cpu=70%'] : ['--cpu-percent=70']));
    expect(
      await jsonPath('deployment web', '{.spec.replicas} {.metadata.labels.tier} {.metadata.annotations.note}'),
    ).toBe('3 front one');
    expect(await jsonPath('service web', '{.spec.selector.app} {.spec.ports[0].targetPort}')).toBe('web 8080');
    expect(await ok('get', 'hpa', 'web')).toMatch(/Deployment\/web +(cpu: )?<unknown>\/70%/);
  });

  it('creates by its typed commands', async () => {
    await ok('create', 'job', 'once', '--image=busybox', '--', 'true');
    await ok('create', 'quota', 'small', '--hard=pods=10');
    await ok('create', 'ingress', 'web', '--rule=a.example/*=web:80');
    await ok('create', 'role', 'reader', '--verb=get', '--resource=pods');
    await ok('create', 'rolebinding', 'reader', '--role=reader', '--user=jane');
    await ok('create', 'secret', 'generic', 'keys', '--from-literal=a=b');
    await ok('create', 'serviceaccount', 'robot');
    await ok('create', 'service', 'nodeport', 'outside', '--tcp=80:8080');
    expect(await jsonPath('job once', '{.spec.backoffLimit} {.spec.completionMode}')).toBe('6 NonIndexed');
    expect(await jsonPath('secret keys', '{.data.a}')).toBe('Yg==');
    expect(await ok('auth', 'can-i', 'get', 'pods', '--as=jane')).toBe('yes\n');
    expect((await run(['auth', 'can-i', 'delete', 'pods', '--as=jane'])).stdout).toBe('no\n');
    expect(await ok('get', 'all', '-o', 'name')).toMatch(/deployment\.apps\/web\n[\s\S]*job\.batch\/once\n/);
  });

  it('replaces, and refuses to replace what has changed meanwhile', async () => {
    const map = JSON.parse(await ok('get', 'configmap', 'settings', '-o', 'json'));
    await ok('annotate', 'configmap', 'settings', 'touched=yes');
    const stale = await run(['replace', '-f', '-'], JSON.stringify(map));
    expect(stale.stderr).toContain('the object has been modified; please apply your changes to the latest version');
    delete map.metadata.resourceVersion;
    expect(await feed(JSON.stringify(map), 'replace', '-f', '-')).toBe('configmap/settings replaced\n');
    expect(await feed(JSON.stringify(map), 'replace', '--force', '-f', '-')).toContain('replaced');
  });

  it('names a wrong field before anything is stored', async () => {
    const wrong = web('x').replace('replicas:', 'replicaz:').replaceAll('web', 'wrong');
    const { code, stderr } = await run(['create', '-f', '-'], wrong);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/unknown field "(spec\.)?replicaz"/);
    expect(await fails('get', 'deployment', 'wrong')).toContain('deployments.apps "wrong" not found');
  });

  it('tries on the server without storing', async () => {
    expect(await ok('create', 'configmap', 'ghost', '--dry-run=server')).toContain('created (server dry run)');
    expect(await ok('delete', 'configmap', 'settings', '--dry-run=server')).toContain('deleted');
    expect(await ok('get', 'configmaps', '-o', 'name')).not.toContain('ghost');
    expect(await ok('get', 'configmaps', '-o', 'name')).toContain('settings');
  });

  it('lists what there is to serve', async () => {
    const text = await ok('api-resources', '--no-headers');
    expect(text).toMatch(/^statefulsets +sts +apps\/v1 +true +StatefulSet$/m);
    expect(await ok('api-versions')).toMatch(/^apps\/v1\n[\s\S]*^storage\.k8s\.io\/v1\n/m);
    expect(await ok('api-resources', '--verbs=list', '--namespaced', '-o', 'name')).toContain('deployments.apps\n');
    if (isNew)
      expect(await ok('auth', 'whoami', '-o', 'jsonpath={.status.userInfo.groups}')).toContain('system:masters');
  });

  it('deletes by label, with what hangs on it, and a namespace with all that is in it', async () => {
    await ok('delete', 'deployment', '-l', 'app=web', '--cascade=foreground');
    expect(await ok('get', 'replicasets', '-o', 'name')).toBe('');
    await ok('delete', 'namespace', namespace, '--timeout=150s');
    expect(await fails('get', 'namespace', namespace)).toContain(`namespaces "${namespace}" not found`);
  });
});
