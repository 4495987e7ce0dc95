import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { kubectlPath } from '#test/kit/kubectl.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e workloads skipped: ${problem}`);

/** The whole straight line on two real nodes, with the client that users have. */
describe.skipIf(problem !== undefined)('kubectl on a cluster of two nodes', () => {
  let cluster: TestCluster;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const fails = async (...args: string[]) => {
    const result = await cluster.kubectl(args);
    expect(result.code, result.stdout).not.toBe(0);
    return result.stderr;
  };
  const apply = (manifest: object, ...args: string[]) =>
    cluster.kubectlOk(['apply', '-f', '-', ...args], { stdin: JSON.stringify(manifest) });
  /** What follows a change a moment later, as Events do and what an agent reports. */
  const shows = (pattern: RegExp, ...args: string[]) =>
    waitUntil(`${pattern} in kubectl ${args.join(' ')}`, 30_000, async () => pattern.test(await ok(...args)));
  const jsonPath = (what: string, path: string) => ok('get', ...what.split(' '), '-o', `jsonpath=${path}`);

  beforeAll(async () => {
    cluster = await startCluster({ name: 'e2e', nodes: 2 });
  });
  afterAll(() => cluster?.destroy());

  const container = (command: string, extra: object = {}) => ({
    name: 'main',
    image: BUSYBOX_IMAGE,
    command: ['sh', '-c', command],
    ...extra,
  });
  const pod = (name: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, ...spec },
  });
  const web = {
    ...container('echo "$(hostname)" > /tmp/index.html; exec httpd -f -p 8080 -h /tmp'),
    ports: [{ containerPort: 8080 }],
    readinessProbe: { httpGet: { path: '/', port: 8080 }, periodSeconds: 1 },
  };
  const webDeployment = (name: string, replicas: number) => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { terminationGracePeriodSeconds: 1, containers: [web] } },
    },
  });

  it('shows both nodes ready with their runtime', async () => {
    const text = await ok('get', 'nodes', '-o', 'wide');
    expect(text).toMatch(/NAME\s+STATUS\s+ROLES\s+AGE\s+VERSION\s+INTERNAL-IP/);
    expect(text).toMatch(/node-0\s+Ready\s.*198\.51\.100\.10.*containerd:\/\//);
    expect(text).toMatch(/node-1\s+Ready\s.*198\.51\.100\.11/);
  });

  it('creates, scales, rolls out, undoes and deletes a Deployment', async () => {
    await apply(webDeployment('roll', 1));
    await ok('wait', '--for=condition=Available', 'deployment/roll', '--timeout=150s');
    await ok('scale', 'deployment/roll', '--replicas=3');
    expect(await ok('rollout', 'status', 'deployment/roll', '--timeout=150s')).toContain('successfully rolled out');
    await ok('set', 'env', 'deployment/roll', 'A=1');
    await ok('rollout', 'status', 'deployment/roll', '--timeout=150s');
    expect(await ok('rollout', 'history', 'deployment/roll')).toMatch(/REVISION[\s\S]*1[\s\S]*2/);
    await ok('rollout', 'undo', 'deployment/roll');
    await ok('rollout', 'status', 'deployment/roll', '--timeout=150s');
    expect(await jsonPath('deployment roll', '{.spec.template.spec.containers[0].env}')).toBe('');
    expect(await jsonPath('deployment roll', '{.status.readyReplicas}')).toBe('3');
    await ok('delete', 'deployment', 'roll', '--wait');
    await waitUntil(
      'its pods to be collected',
      60_000,
      async () => (await ok('get', 'pods', '-l', 'app=roll', '-o', 'name')) === '',
    );
  });

  it('answers on a Service from every node and through a node port, hairpin included', async () => {
    await apply(webDeployment('front', 2));
    await ok('wait', '--for=condition=Available', 'deployment/front', '--timeout=150s');
    expect(
      new Set((await jsonPath('pods -l app=front', '{.items[*].spec.nodeName}')).split(' ')).size,
      'spread over both nodes',
    ).toBe(2);
    await ok('expose', 'deployment', 'front', '--port=80', '--target-port=8080', '--type=NodePort');
    const ip = await jsonPath('service front', '{.spec.clusterIP}');
    const nodePort = await jsonPath('service front', '{.spec.ports[0].nodePort}');
    for (const agent of cluster.agents) {
      const names = await waitUntil(`both endpoints seen from ${agent.nodeName}`, 30_000, async () => {
        const seen = new Set<string>();
        for (let i = 0; i < 20; i++) seen.add(await fetchText(agent.host.enter, `http://${ip}/`));
        return seen.size === 2 ? seen : undefined;
      });
      expect([...names].every((name) => name.startsWith('front-'))).toBe(true);
      // From outside the nodes, through each node's own port, to endpoints on either node.
      expect(await fetchText(cluster.lab.hub.enter, `http://${agent.host.address}:${nodePort}/`)).toMatch(/^front-/);
    }
    // A pod reaches its own Service, and itself through it.
    const [name] = (await jsonPath('pods -l app=front', '{.items[*].metadata.name}')).split(' ');
    const seen = new Set<string>();
    for (let i = 0; i < 20; i++)
      seen.add(
        (
          await ok('exec', name!, '--', 'sh', '-c', `printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 10 ${ip} 80 | tail -1`)
        ).trim(),
      );
    expect(seen.size).toBe(2);
  });

  it('refuses a Service without endpoints at once', async () => {
    await apply({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'empty' },
      spec: { selector: { app: 'nobody' }, ports: [{ port: 80 }] },
    });
    const ip = await jsonPath('service empty', '{.spec.clusterIP}');
    await waitUntil('the refusal', 20_000, async () => {
      try {
        await fetchText(cluster.agents[0]!.host.enter, `http://${ip}/`);
        return false;
      } catch (err) {
        // A time-out would say so: the refusal comes at once.
        return /Couldn't connect|refused/i.test(String(err));
      }
    });
  });

  it('runs a pod with its configuration, secrets, downward values, volumes and token', async () => {
    await ok('create', 'configmap', 'settings', '--from-literal=greeting=hello');
    await ok('create', 'secret', 'generic', 'keys', '--from-literal=password=s3cret');
    await apply(
      pod('env', {
        restartPolicy: 'Never',
        volumes: [
          { name: 'settings', configMap: { name: 'settings' } },
          { name: 'keys', secret: { secretName: 'keys', defaultMode: 0o400 } },
          { name: 'scratch', emptyDir: { medium: 'Memory' } },
        ],
        containers: [
          container(
            'cat /etc/settings/greeting /etc/keys/password; echo; echo "$GREETING $PASSWORD $POD $NODE $KUBERNETES_SERVICE_HOST"; ls -l /etc/keys/..data/password; echo x > /scratch/x; cat /etc/hosts; wc -c /var/run/secrets/kubernetes.io/serviceaccount/token; head -1 /var/run/secrets/kubernetes.io/serviceaccount/ca.crt; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace',
            {
              env: [
                { name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'settings', key: 'greeting' } } },
                { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'keys', key: 'password' } } },
                { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
                { name: 'NODE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
              ],
              volumeMounts: [
                { name: 'settings', mountPath: '/etc/settings' },
                { name: 'keys', mountPath: '/etc/keys' },
                { name: 'scratch', mountPath: '/scratch' },
              ],
            },
          ),
        ],
      }),
    );
    await ok('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/env', '--timeout=150s');
    const logs = await ok('logs', 'env');
    expect(logs).toContain('hellos3cret');
    expect(logs).toMatch(/hello s3cret env node-\d 10\.96\.0\.1/);
    expect(logs).toContain('-r--------');
    expect(logs).toContain('# Kubernetes-managed hosts file');
    expect(logs).toContain('-----BEGIN CERTIFICATE-----');
    expect(logs).toMatch(/default$/);
    expect(await ok('get', 'pod', 'env')).toMatch(/env\s+0\/1\s+Completed\s+0/);
  });

  it('runs commands: exit codes, piped stdin that ends, a terminal', async () => {
    await apply(pod('shell', { containers: [container('sleep infinity')] }));
    await ok('wait', '--for=condition=Ready', 'pod/shell', '--timeout=150s');
    expect(await cluster.kubectlOk(['exec', '-i', 'shell', '--', 'cat'], { stdin: 'through and back' })).toBe(
      'through and back',
    );
    expect((await cluster.kubectl(['exec', 'shell', '--', 'sh', '-c', 'exit 7'])).code).toBe(7);
    const big = 'x'.repeat(1_000_000);
    expect((await cluster.kubectlOk(['exec', '-i', 'shell', '--', 'cat'], { stdin: big })).length).toBe(big.length);
    // script(1) gives kubectl the terminal that -t needs.
    const [program, ...enter] = [...cluster.lab.hub.enter];
    const command = `${kubectlPath()} --kubeconfig ${cluster.kubeconfig} exec -it shell -- sh -c 'test -t 0 && echo a terminal'`;
    const shown = await run(program!, [...enter, 'script', '-qec', command, '/dev/null']);
    expect(shown).toContain('a terminal');
  });

  it('follows logs, tails them, and shows those of the previous container', async () => {
    await apply(
      pod('talker', { containers: [container('for i in 1 2 3 4 5; do echo line $i; done; sleep infinity')] }),
    );
    await ok('wait', '--for=condition=Ready', 'pod/talker', '--timeout=150s');
    // Ready is who runs, whether it has spoken or not.
    await shows(/line 5\n/, 'logs', 'talker');
    expect(await ok('logs', 'talker', '--tail=2')).toBe('line 4\nline 5\n');
    expect(await ok('logs', 'talker', '--since=1h', '-c', 'main')).toContain('line 1');
    await apply(pod('crasher', { containers: [container('echo dying; exit 3')] }));
    await waitUntil(
      'a restart',
      60_000,
      async () => Number(await jsonPath('pod crasher', '{.status.containerStatuses[0].restartCount}')) >= 1,
    );
    await shows(/^dying\n$/, 'logs', 'crasher', '--previous');
    expect(await jsonPath('pod crasher', '{.status.containerStatuses[0].lastState.terminated.exitCode}')).toBe('3');
    await waitUntil('CrashLoopBackOff', 60_000, async () =>
      (await ok('get', 'pod', 'crasher')).includes('CrashLoopBackOff'),
    );
    const follower = followLogs(cluster, 'talker');
    await follower.seen(/line 5/);
    await ok('exec', 'talker', '--', 'sh', '-c', 'echo more > /proc/1/fd/1');
    await follower.seen(/more/);
    follower.stop();
  });

  it('restarts a container whose liveness probe fails and keeps an unready one out of the Service', async () => {
    await apply(
      pod('sick', {
        containers: [
          container('touch /tmp/alive; sleep 3; rm /tmp/alive; sleep infinity', {
            livenessProbe: {
              exec: { command: ['cat', '/tmp/alive'] },
              periodSeconds: 1,
              failureThreshold: 1,
              initialDelaySeconds: 1,
            },
          }),
        ],
      }),
    );
    await waitUntil(
      'a restart',
      60_000,
      async () => Number(await jsonPath('pod sick', '{.status.containerStatuses[0].restartCount}')) >= 1,
    );
    await shows(/Unhealthy.*Liveness probe failed/, 'describe', 'pod', 'sick');
    await apply(
      pod('unready', {
        containers: [container('sleep infinity', { readinessProbe: { tcpSocket: { port: 81 }, periodSeconds: 1 } })],
      }),
    );
    await waitUntil(
      'the pod running',
      60_000,
      async () => (await jsonPath('pod unready', '{.status.phase}')) === 'Running',
    );
    expect(await ok('get', 'pod', 'unready')).toMatch(/unready\s+0\/1\s+Running/);
  });

  it('shows with kubectl top what nodes and pods use, and debugs and resizes a pod that runs', async () => {
    const requests = { cpu: '50m', memory: '16Mi' };
    await apply(
      pod('busy', {
        containers: [container('exec sleep 6543', { resources: { requests, limits: { memory: '64Mi' } } })],
      }),
    );
    await ok('wait', '--for=condition=Ready', 'pod/busy', '--timeout=150s');
    await shows(/node-0 +\d+m +\d+% +\d+Mi +\d+%/, 'top', 'nodes');
    await shows(/busy +main +\d+m +\d+Mi/, 'top', 'pods', '--containers');
    const debug = ['debug', 'busy', `--image=${BUSYBOX_IMAGE}`, '--profile=general', '--target=main', '-c', 'tools'];
    await ok(...debug, '--', 'sh', '-c', 'cat /proc/1/cmdline');
    await waitUntil('the last word of the tools', 30_000, async () =>
      (await ok('logs', 'busy', '-c', 'tools').catch(() => '')).includes('6543'),
    );
    const resources = { limits: { memory: '96Mi' } };
    const patch = JSON.stringify({ spec: { containers: [{ name: 'main', resources }] } });
    await ok('patch', 'pod', 'busy', '--subresource', 'resize', '--patch', patch);
    const actual = '{.status.containerStatuses[0].resources.limits.memory} {.status.containerStatuses[0].restartCount}';
    await waitUntil('the new limit', 30_000, async () => (await jsonPath('pod busy', actual)) === '96Mi 0');
    await ok('delete', 'pod', 'busy', '--wait');
  });

  it('runs the preStop hook and ends within the grace period', async () => {
    await apply(
      pod('polite', {
        terminationGracePeriodSeconds: 20,
        volumes: [{ name: 'out', hostPath: { path: join(cluster.folder, 'polite'), type: 'DirectoryOrCreate' } }],
        containers: [
          container('trap "echo term >> /out/log; exit 0" TERM; touch /out/up; while :; do sleep 0.1; done', {
            lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo prestop >> /out/log'] } } },
            volumeMounts: [{ name: 'out', mountPath: '/out' }],
          }),
        ],
      }),
    );
    await ok('wait', '--for=condition=Ready', 'pod/polite', '--timeout=150s');
    await waitUntil('the trap', 30_000, () => existsSync(join(cluster.folder, 'polite', 'up')));
    await ok('delete', 'pod', 'polite', '--wait');
    expect(await readFile(join(cluster.folder, 'polite', 'log'), 'utf8')).toBe('prestop\nterm\n');
  });

  it('says why a pod cannot run', async () => {
    await apply(pod('no-image', { containers: [{ name: 'main', image: 'localhost:1/none:1' }] }));
    await apply(
      pod('no-config', {
        containers: [
          container('true', { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'missing', key: 'a' } } }] }),
        ],
      }),
    );
    await apply(pod('too-big', { containers: [container('true', { resources: { requests: { cpu: '1000' } } })] }));
    await apply(pod('nowhere', { nodeSelector: { disk: 'golden' }, containers: [container('true')] }));
    await waitUntil('ErrImagePull', 60_000, async () =>
      /ErrImagePull|ImagePullBackOff/.test(await ok('get', 'pod', 'no-image')),
    );
    await waitUntil('CreateContainerConfigError', 60_000, async () =>
      (await ok('get', 'pod', 'no-config')).includes('CreateContainerConfigError'),
    );
    await shows(/configmap "missing" not found/, 'describe', 'pod', 'no-config');
    await waitUntil(
      'Unschedulable',
      30_000,
      async () => (await jsonPath('pod too-big', '{.status.conditions[0].reason}')) === 'Unschedulable',
    );
    await shows(/0\/2 nodes are available: 2 Insufficient cpu/, 'describe', 'pod', 'too-big');
    await shows(/didn't match Pod's node affinity\/selector/, 'describe', 'pod', 'nowhere');
    await ok('delete', 'pod', 'no-image', 'no-config', 'too-big', 'nowhere', '--wait');
  });

  it('applies several objects at once, server-side too, labels, annotates, edits and watches', async () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [
        webDeployment('bundle', 1),
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'bundle' },
          spec: { selector: { app: 'bundle' }, ports: [{ port: 80, targetPort: 8080 }] },
        },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'bundle' }, data: { a: '1' } },
        { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bundle' }, data: { b: 'Mg==' } },
      ],
    };
    expect((await apply(list)).match(/created/g)).toHaveLength(4);
    expect((await apply(list)).match(/unchanged/g)).toHaveLength(4);
    await ok('label', 'configmap', 'bundle', 'tier=back');
    await ok('annotate', 'configmap', 'bundle', 'note=here');
    expect(await ok('get', 'configmap', '-l', 'tier=back', '-o', 'name')).toBe('configmap/bundle\n');
    await apply(
      { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ssa' }, data: { a: '1' } },
      '--server-side',
      '--field-manager=one',
    );
    const stderr = (
      await cluster.kubectl(['apply', '--server-side', '--field-manager=two', '-f', '-'], {
        stdin: JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'ssa' }, data: { a: '2' } }),
      })
    ).stderr;
    expect(stderr).toContain('conflict with "one"');
    const editor = join(cluster.folder, 'editor.sh');
    await writeFile(editor, '#!/bin/sh\nsed -i "s/a: \\"1\\"/a: \\"42\\"/" "$1"\n', { mode: 0o755 });
    const [program, ...enter] = [...cluster.lab.hub.enter];
    await run(program!, [
      ...enter,
      'env',
      `EDITOR=${editor}`,
      kubectlPath(),
      '--kubeconfig',
      cluster.kubeconfig,
      'edit',
      'configmap',
      'bundle',
    ]);
    expect(await jsonPath('configmap bundle', '{.data.a}')).toBe('42');
    const shown = watchPods(cluster, 'app=bundle');
    await shown.seen(/bundle-\S+\s+1\/1\s+Running/);
    shown.stop();
  });

  it('explains itself: describe, explain, api-resources', async () => {
    expect(await ok('describe', 'node', 'node-0')).toMatch(/Allocatable:[\s\S]*Non-terminated Pods/);
    expect(await ok('describe', 'service', 'kubernetes')).toContain('10.96.0.1');
    expect(await ok('explain', 'deployment.spec.strategy')).toContain('rollingUpdate');
    expect(await ok('api-resources')).toMatch(/deployments\s+deploy\s+apps\/v1\s+true\s+Deployment/);
  });

  it.each([
    {
      name: 'an invalid name',
      manifest: pod('Bad_Name', { containers: [{ name: 'a', image: 'b' }] }),
      message: /metadata\.name.*Invalid value/,
    },
    {
      name: 'an unknown field',
      manifest: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'x' }, dtaa: {} },
      message: /unknown field "dtaa"/,
    },
    {
      name: 'a wrong type',
      manifest: { ...webDeployment('x', 1), spec: { ...webDeployment('x', 1).spec, replicas: 'many' } },
      message: /spec\.replicas/,
    },
    {
      name: 'a missing selector match',
      manifest: {
        ...webDeployment('x', 1),
        spec: { ...webDeployment('x', 1).spec, selector: { matchLabels: { app: 'y' } } },
      },
      message: /selector.*does not match/,
    },
    {
      name: 'an unknown kind',
      manifest: { apiVersion: 'v1', kind: 'Nothing', metadata: { name: 'x' } },
      message: /no matches for kind "Nothing"/,
    },
  ])('refuses $name and says where', async ({ manifest, message }) => {
    const { code, stderr } = await cluster.kubectl(['create', '-f', '-'], { stdin: JSON.stringify(manifest) });
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
  });

  it('refuses a change of what may not change', async () => {
    expect(await fails('patch', 'service', 'kubernetes', '-p', '{"spec":{"clusterIP":"10.96.0.77"}}')).toMatch(
      /spec\.clusterIPs?\[?0?\]?: Invalid value.*may not change|field is immutable/,
    );
  });

  it('drains a node as far as disruption budgets allow, and lets it work again', async () => {
    await ok('cordon', 'node-0');
    expect(await ok('get', 'node', 'node-0')).toContain('SchedulingDisabled');
    await ok('create', 'poddisruptionbudget', 'front', '--selector=app=front', '--min-available=100%');
    await ok('wait', 'poddisruptionbudget/front', '--for=jsonpath={.status.expectedPods}=2', '--timeout=150s');
    for (const name of (await jsonPath('pods -l app=front', '{.items[*].metadata.name}')).split(' ')) {
      const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } };
      const path = `/api/v1/namespaces/default/pods/${name}/eviction`;
      const { stderr } = await cluster.kubectl(['create', '--raw', path, '-f', '-'], {
        stdin: JSON.stringify(eviction),
      });
      expect(stderr).toContain("Cannot evict pod as it would violate the pod's disruption budget.");
    }
    // One at a time: the next goes once the one before it is ready elsewhere.
    await ok('patch', 'poddisruptionbudget', 'front', '-p', '{"spec":{"minAvailable":1}}');
    await ok('drain', 'node-0', '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=150s');
    await waitUntil('the pods of the Deployment on the other node', 60_000, async () => {
      const nodes = (await jsonPath('pods -l app=front', '{.items[*].spec.nodeName}')).split(' ');
      return nodes.length === 2 && nodes.every((node) => node === 'node-1');
    });
    await ok('delete', 'poddisruptionbudget', 'front');
    await ok('uncordon', 'node-0');
  });

  it('keeps every container running through kill -9 and restart of the agent', async () => {
    const facts = () =>
      jsonPath(
        'pods -l app=front',
        '{range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\\n"}{end}',
      );
    await ok('rollout', 'status', 'deployment/front', '--timeout=150s');
    const before = await facts();
    const agent = cluster.agents[1]!;
    await agent.kill();
    await agent.restart();
    // The agent is back when something new runs on its node.
    await apply(pod('after-restart', { nodeName: 'node-1', containers: [container('sleep infinity')] }));
    await ok('wait', '--for=condition=Ready', 'pod/after-restart', '--timeout=150s');
    expect(await facts()).toBe(before);
    await shows(/^still reachable\n$/, 'exec', 'after-restart', '--', 'echo', 'still reachable');
  });

  it('goes on after kill -9 of the controller, with all that was acknowledged', async () => {
    await ok('create', 'configmap', 'acknowledged', '--from-literal=a=1');
    await cluster.controller.kill();
    await cluster.controller.restart();
    await waitUntil('the API', 30_000, async () => (await cluster.kubectl(['get', '--raw', '/readyz'])).code === 0);
    expect(await jsonPath('configmap acknowledged', '{.data.a}')).toBe('1');
    await waitUntil(
      'the tunnel',
      60_000,
      async () => (await cluster.kubectl(['exec', 'after-restart', '--', 'true'])).code === 0,
    );
  });

  it('deletes a namespace with everything in it', async () => {
    await ok('create', 'namespace', 'gone');
    await cluster.kubectlOk(['apply', '-n', 'gone', '-f', '-'], { stdin: JSON.stringify(webDeployment('inner', 1)) });
    await ok('wait', '-n', 'gone', '--for=condition=Available', 'deployment/inner', '--timeout=150s');
    await ok('delete', 'namespace', 'gone', '--wait', '--timeout=150s');
    expect(await fails('get', 'namespace', 'gone')).toContain('not found');
  });
});

function run(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${program} ${args.join(' ')}: exit code ${code}: ${output}`)),
    );
  });
}

/** Not busybox: wget of Debian's static build crashes in the name service. */
const fetchText = async (enter: readonly string[], url: string): Promise<string> =>
  (await run(enter[0]!, [...enter.slice(1), 'curl', '-sS', '-m', '10', url])).trim();

interface Stream {
  seen(pattern: RegExp): Promise<void>;
  stop(): void;
}

function stream(cluster: TestCluster, args: readonly string[]): Stream {
  const [program, ...enter] = [...cluster.lab.hub.enter];
  const child = spawn(program!, [...enter, kubectlPath(), '--kubeconfig', cluster.kubeconfig, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  return {
    seen: async (pattern) => {
      await waitUntil(`${pattern} in what kubectl ${args.join(' ')} prints`, 60_000, () => pattern.test(output));
    },
    stop: () => child.kill('SIGTERM'),
  };
}

const followLogs = (cluster: TestCluster, name: string): Stream => stream(cluster, ['logs', '-f', name]);
const watchPods = (cluster: TestCluster, selector: string): Stream =>
  stream(cluster, ['get', 'pods', '-w', '-l', selector]);
