import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { footprintOf, type NodeTraces, NodeWatcher } from '#test/kit/node-traces.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e pod churn skipped: ${problem}`);

/** How many pods come and go; 500 has been seen to leave nothing either, in some minutes. */
const PODS = Number(process.env.CORACLE_CHURN_PODS ?? 40);
const WAVE = Math.min(50, PODS);
const WAIT_MS = 60_000;
/** After a first wave, which is what fills caches. */
const MAX_GROWTH_BYTES = 64 * 2 ** 20;
const MAX_NEW_FILES = 16;

type PodSpec = NonNullable<Pod['spec']>;

interface Kind {
  readonly name: string;
  readonly spec: (index: number) => Partial<PodSpec> & Pick<PodSpec, 'containers'>;
  /** Until then a pod of the kind is let be, and from then on it stays true; absent: it is deleted at once. */
  readonly until?: (pod: Pod) => boolean;
}

const main = (script: string, more: object = {}) => ({
  name: 'main',
  image: BUSYBOX_IMAGE,
  command: ['sh', '-c', script],
  ...more,
});
const STAYS = 'trap "exit 0" TERM; sleep 3600 & wait';
const isReady = ({ status }: Pod) =>
  status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True') === true;
const hasRestarted = ({ status }: Pod) => (status?.containerStatuses?.[0]?.restartCount ?? 0) > 0;
const lacksImage = ({ status }: Pod) =>
  /^(ErrImagePull|ImagePullBackOff)$/.test(status?.containerStatuses?.[0]?.state?.waiting?.reason ?? '');

const KINDS: readonly Kind[] = [
  { name: 'plain', spec: () => ({ containers: [main(STAYS)] }), until: isReady },
  {
    name: 'volumes',
    spec: () => ({
      volumes: [
        { name: 'settings', configMap: { name: 'settings' } },
        { name: 'secret', secret: { secretName: 'secret' } },
        { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        { name: 'disk', emptyDir: {} },
      ],
      containers: [
        main(`echo a > /disk/a; echo a > /memory/a; ${STAYS}`, {
          volumeMounts: ['settings', 'secret', 'memory', 'disk']
            .map((name) => ({ name, mountPath: `/${name}` }))
            .concat([{ name: 'disk', mountPath: '/sub', subPath: 'sub' } as never]),
          resources: { limits: { memory: '32Mi', cpu: '100m' } },
        }),
      ],
    }),
    until: isReady,
  },
  {
    name: 'stages',
    spec: () => ({
      initContainers: [
        { ...main('true'), name: 'first' },
        { ...main(STAYS), name: 'side', restartPolicy: 'Always' },
      ],
      containers: [main(STAYS, { lifecycle: { preStop: { exec: { command: ['true'] } } } })],
    }),
    until: isReady,
  },
  {
    name: 'done',
    spec: () => ({ restartPolicy: 'Never', containers: [main('true')] }),
    until: ({ status }) => status?.phase === 'Succeeded',
  },
  { name: 'crash', spec: () => ({ containers: [main('exit 1')] }), until: hasRestarted },
  {
    name: 'no-image',
    spec: () => ({ containers: [main(STAYS, { image: '127.0.0.1:1/nothing:1' })] }),
    until: lacksImage,
  },
  {
    name: 'asked',
    spec: (index) => ({
      containers: [
        main(STAYS, {
          ports: [{ containerPort: 80, hostPort: 20_000 + index }],
          livenessProbe: { exec: { command: ['true'] }, periodSeconds: 1, timeoutSeconds: 30 },
        }),
      ],
    }),
    until: isReady,
  },
  { name: 'forced', spec: () => ({ containers: [main('trap "" TERM; sleep 3600')] }), until: isReady },
  { name: 'hasty', spec: () => ({ containers: [main(STAYS)] }) },
];

/** Whatever pods do and however they end, a node is after them as it was before. */
describe.skipIf(problem !== undefined)(`${PODS} pods that come and go on one node`, () => {
  let cluster: TestCluster;
  let watcher: NodeWatcher;
  const list = async () =>
    (JSON.parse(await cluster.kubectlOk(['get', 'pods', '-o', 'json'])) as { items: Pod[] }).items;
  const kindOf = (pod: Pod) => KINDS.find(({ name }) => name === pod.metadata.labels?.kind);
  const footprint = () => footprintOf(cluster.agents[0]!.pid);

  beforeAll(async () => {
    cluster = await startCluster({ name: 'churn', nodes: 1 });
    await cluster.kubectlOk(['create', 'configmap', 'settings', '--from-literal=a=b']);
    await cluster.kubectlOk(['create', 'secret', 'generic', 'secret', '--from-literal=a=b']);
    watcher = new NodeWatcher(cluster.agents[0]!);
  }, 240_000);
  afterAll(() => cluster?.destroy());

  async function wave(first: number, count: number): Promise<void> {
    const items = Array.from({ length: count }, (_, at) => {
      const index = first + at;
      const { name, spec } = KINDS[index % KINDS.length]!;
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: `${name}-${index}`, labels: { kind: name } },
        spec: { terminationGracePeriodSeconds: 1, ...spec(index) },
      };
    });
    await cluster.kubectlOk(['create', '-f', '-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
    });
    await cluster.kubectlOk(['delete', 'pods', '-l', 'kind=hasty', '--wait=false']);
    await waitUntil('every pod to be as it is to be', WAIT_MS, async () => {
      const pods = await list();
      watcher.see(pods.flatMap(({ metadata }) => metadata.uid ?? []));
      return pods.every((pod) => kindOf(pod)?.until?.(pod) ?? true);
    });
    await cluster.kubectlOk(['delete', 'pods', '-l', 'kind=forced', '--force', '--grace-period=0', '--wait=false']);
    await cluster.kubectlOk(['delete', 'pods', '--all', '--wait=false']);
    await waitUntil('all pods to be gone', WAIT_MS, async () => (await list()).length === 0);
  }

  it('leave nothing behind', { timeout: 120_000 + PODS * 10_000 }, async () => {
    // Every kind once: bridge, chains of rules and unpacked images come with the first pod that needs them, and stay.
    await wave(0, KINDS.length);
    const before = await untilEmpty();
    const filled = footprint();
    for (let first = 0; first < PODS; first += WAVE) await wave(first, Math.min(WAVE, PODS - first));
    const after = await untilEmpty();
    const { rssBytes, files } = footprint();
    console.info('churn:', JSON.stringify({ ...watcher.seen, filled, rssBytes, files }));
    expect(after).toEqual(before);
    expect(watcher.seen.pods).toBeGreaterThan(PODS / 2);
    expect(watcher.seen.networks).toBeGreaterThan(PODS / 4);
    expect(rssBytes - filled.rssBytes).toBeLessThan(MAX_GROWTH_BYTES);
    expect(files - filled.files).toBeLessThan(MAX_NEW_FILES);
  });

  /** What is left once nothing is a pod's; some of it goes when runtime and kernel get round to it. */
  async function untilEmpty(): Promise<NodeTraces> {
    let traces = watcher.traces();
    await waitUntil('the runtime to let go', WAIT_MS, () => {
      traces = watcher.traces();
      return watcher.ofPods(traces).length === 0;
    }).catch(() => expect(watcher.ofPods(traces)).toEqual([]));
    return traces;
  }
});
