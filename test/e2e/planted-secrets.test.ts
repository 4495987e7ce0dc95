import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { filesOnDisk, plantValue, procFiles, searchFiles, searchFor } from '#test/kit/planted-values.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e planted secrets skipped: ${problem}`);

/** One for each way in which a node gets hold of what is secret. */
const planted = {
  environment: plantValue(),
  volume: plantValue(),
  settings: plantValue(),
  pullPassword: plantValue(),
  unused: plantValue(),
};
/** The control: the name of a pod, which nobody hides. */
const visible = plantValue();
const find = searchFor(planted);
const findVisible = searchFor({ visible });

const secret = (name: string, stringData: object, type = 'Opaque') => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  type,
  stringData,
});
const PRIVATE_IMAGE = '127.0.0.1:1/private/image:1';
const pod = (name: string, spec: object) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
const failing = { exec: { command: ['sh', '-c', 'exit 1'] }, periodSeconds: 1, failureThreshold: 100 };

const OBJECTS = [
  secret('environment', { KEY: planted.environment }),
  secret('volume', { key: planted.volume }),
  secret('unused', { key: planted.unused }),
  secret(
    'pull',
    {
      '.dockerconfigjson': JSON.stringify({
        auths: { [PRIVATE_IMAGE.split('/')[0]!]: { username: 'me', password: planted.pullPassword } },
      }),
    },
    'kubernetes.io/dockerconfigjson',
  ),
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'settings' }, data: { setting: planted.settings } },
  pod(visible, {
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'main',
        image: BUSYBOX_IMAGE,
        command: ['sleep', 'infinity'],
        envFrom: [{ secretRef: { name: 'environment' } }],
        readinessProbe: failing,
        lifecycle: { postStart: { exec: { command: ['true'] } } },
        volumeMounts: [
          { name: 'secret', mountPath: '/secret' },
          { name: 'settings', mountPath: '/settings' },
          { name: 'secret', mountPath: '/one', subPath: 'key' },
        ],
      },
    ],
    volumes: [
      { name: 'secret', secret: { secretName: 'volume' } },
      {
        name: 'settings',
        projected: { sources: [{ configMap: { name: 'settings' } }, { secret: { name: 'volume' } }] },
      },
    ],
  }),
  // Things that go wrong with secrets in hand.
  pod('unpullable', {
    imagePullSecrets: [{ name: 'pull' }],
    containers: [{ name: 'main', image: PRIVATE_IMAGE, envFrom: [{ secretRef: { name: 'environment' } }] }],
  }),
  pod('unstartable', {
    restartPolicy: 'Never',
    containers: [
      {
        name: 'main',
        image: BUSYBOX_IMAGE,
        command: ['/nowhere'],
        env: [
          { name: 'A', valueFrom: { secretKeyRef: { name: 'environment', key: 'KEY' } } },
          { name: 'B', valueFrom: { secretKeyRef: { name: 'environment', key: 'none' } } },
        ],
      },
    ],
  }),
];

describe.skipIf(problem !== undefined)('what a pod reads of Secrets and ConfigMaps is on its node', () => {
  let cluster: TestCluster;
  let node = '';
  const events = () => cluster.kubectlOk(['get', 'events', '-o', 'yaml']);

  beforeAll(async () => {
    cluster = await startCluster({
      name: 'planted',
      nodes: 1,
      agentFlags: ['--log-level', 'debug'],
      controllerFlags: ['--log-level', 'debug'],
    });
    node = cluster.agents[0]!.folder;
    await cluster.kubectlOk(['apply', '-f', '-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: OBJECTS }),
    });
    const readKeys = ['exec', visible, '--', 'sh', '-c', 'cat /secret/key /settings/setting /one; echo $KEY'];
    await waitUntil('the pod to have all', 60_000, async () => {
      const { stdout, stderr } = await cluster.kubectl(readKeys);
      if (find(stdout).length < 3) throw new Error(`${stderr}${await events()}`);
      return true;
    });
    await waitUntil('the troubles to be told', 60_000, async () => {
      const text = await events();
      return (
        ['Unhealthy', 'unpullable', 'unstartable'].every((word) => text.includes(word)) && /pull.* image/i.test(text)
      );
    });
    // For starts without an API, which come a few seconds later.
    const copies = () =>
      readdirSync(join(node, 'data'), { recursive: true }).filter((name) => String(name).endsWith('.sealed'));
    await waitUntil('the copies of the node', 30_000, () => copies().length >= 2);
  });
  afterAll(() => cluster?.destroy());

  /** All that the agent wrote; what containerd keeps of a container is what the container was given, and is a matter of the runtime. */
  const agentFiles = () =>
    filesOnDisk(node).filter((path) => !path.startsWith(join(node, 'data', 'containerd')) && !path.includes('/run/'));

  it('(found by the search where nobody hides it: the name of the pod is)', async () => {
    const files = agentFiles();
    expect(files).toContain(join(node, 'agent.log'));
    const places = searchFiles(files, findVisible).map(([path]) => path);
    expect(findVisible(await events())).toEqual(['visible']);
    expect(places.some((path) => path.startsWith(join(node, 'data')))).toBe(true);
  });

  it('in no file of the agent that outlives the host: ledger, copies, volumes, logs', () => {
    expect(searchFiles(agentFiles(), find)).toEqual([]);
  });

  it('in no file of the controller', () => {
    const files = filesOnDisk(join(cluster.folder, 'controller'));
    // ConfigMaps are no secrets there, and lie open.
    const found = searchFiles([...files, join(cluster.folder, 'controller.log')], find);
    expect(found.filter(([, names]) => names.some((name) => name !== 'settings'))).toEqual([]);
  });

  it('in no event, and in no status', async () => {
    const text = `${await events()}${await cluster.kubectlOk(['get', 'pods,nodes', '-o', 'yaml'])}`;
    expect(find(text)).toEqual([]);
  });

  it('in no metric and no page of the node', async () => {
    for (const path of ['metrics', 'stats/summary', 'configz', 'pods'])
      expect(find(await cluster.kubectlOk(['get', '--raw', `/api/v1/nodes/node-0/proxy/${path}`])), path).toEqual([]);
  });

  it.each(['cmdline', 'environ'] as const)('in /proc/*/%s of no process but the containers', (file) => {
    // A container has its environment, and shows it to root of the host and itself.
    const isContainer = (pid: number) => {
      try {
        return readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes('kubepods');
      } catch {
        return true;
      }
    };
    expect(
      searchFiles(
        procFiles(file, (pid) => !isContainer(pid)),
        find,
      ),
    ).toEqual([]);
    // The token with which it joined stood on its command line.
    expect(readFileSync(`/proc/${cluster.agents[0]!.pid}/${file}`, 'utf8')).not.toMatch(/[a-z0-9]{6}\.[a-z0-9]{16}/);
  });

  it('nowhere on the node once the pod is gone', async () => {
    await cluster.kubectlOk(['delete', 'pod', visible, 'unpullable', 'unstartable', '--timeout=150s']);
    const all = () => searchFiles(filesOnDisk(node), find);
    await waitUntil('the runtime to have cleaned up', 30_000, () => all().every(([path]) => path.endsWith('.db')));
  });
});
