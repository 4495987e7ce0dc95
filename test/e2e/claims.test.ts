import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim, Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e claims skipped: ${problem}`);

const WAIT_MS = 150_000;

describe.skipIf(problem !== undefined)('claims, from the volume to the pod that reads', () => {
  let cluster: TestCluster;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (...items: object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const read = async <T>(what: string) => JSON.parse(await ok('get', ...what.split(' '), '-o', 'json')) as T;

  const lateClass = (name: string) => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: { name },
    provisioner: 'kubernetes.io/no-provisioner',
    volumeBindingMode: 'WaitForFirstConsumer',
  });
  const volume = (name: string, spec: object) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], ...spec },
  });
  const local = (path: string, node: string) => ({
    local: { path },
    nodeAffinity: {
      required: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [node] }] }],
      },
    },
  });
  const claim = (name: string, spec: object = {}) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name },
    spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
  });
  const pod = (name: string, claimName: string, command: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      restartPolicy: 'Never',
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName } }],
      containers: [
        {
          name: 'main',
          image: BUSYBOX_IMAGE,
          command: ['sh', '-c', command],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
    },
  });
  const phaseOf = (kind: string, name: string) => ok('get', kind, name, '-o', 'jsonpath={.status.phase}');
  const untilPhase = (kind: string, name: string, phase: string) =>
    waitUntil(`${kind}/${name} to be ${phase}`, WAIT_MS, async () => (await phaseOf(kind, name)) === phase);
  const untilTold = (name: string, text: string) =>
    waitUntil(`the Event about ${name}`, WAIT_MS, async () =>
      (await ok('get', 'events', `--field-selector=involvedObject.name=${name}`)).includes(text),
    );

  beforeAll(async () => {
    cluster = await startCluster({ name: 'claims', nodes: 2 });
  });
  afterAll(() => cluster?.destroy());

  it('what a pod wrote is read by the next one, on the node of the volume', async () => {
    const folder = join(cluster.folder, 'disk');
    await mkdir(folder);
    await apply(
      lateClass('local'),
      volume('disk', { storageClassName: 'local', ...local(folder, 'node-1') }),
      claim('disk', { storageClassName: 'local' }),
    );
    await untilTold('disk', 'waiting for first consumer to be created before binding');
    expect(await phaseOf('pvc', 'disk')).toBe('Pending');
    await apply(pod('writer', 'disk', 'echo kept > /data/file'));
    await untilPhase('pod', 'writer', 'Succeeded');
    expect((await read<Pod>('pod writer')).spec?.nodeName).toBe('node-1');
    expect(await phaseOf('pv', 'disk')).toBe('Bound');
    await ok('delete', 'pod', 'writer', '--timeout=150s');
    await apply(pod('reader', 'disk', 'cat /data/file'));
    await untilPhase('pod', 'reader', 'Succeeded');
    expect([(await read<Pod>('pod reader')).spec?.nodeName, await ok('logs', 'reader')]).toEqual(['node-1', 'kept\n']);
  });

  it('a claim in use stays until its pod is gone, and leaves its volume behind', async () => {
    await apply(pod('user', 'disk', 'sleep 600'));
    await ok('wait', '--for=condition=Ready', 'pod/user', '--timeout=150s');
    await ok('delete', 'pvc', 'disk', '--wait=false');
    await ok('delete', 'pod', 'reader', '--timeout=150s');
    expect(await ok('get', 'pvc', 'disk')).toContain('Terminating');
    await ok('delete', 'pod', 'user', '--timeout=150s');
    await ok('wait', '--for=delete', 'pvc/disk', '--timeout=150s');
    await untilPhase('pv', 'disk', 'Released');
    expect(await readFile(join(cluster.folder, 'disk', 'file'), 'utf8')).toBe('kept\n');
  });

  it('a pod waits for a claim with the words of Kubernetes, and goes on once it is bound', async () => {
    await apply(pod('early', 'later', 'echo here > /data/file; sleep 600'));
    await untilTold('early', '0/2 nodes are available: persistentvolumeclaim "later" not found.');
    await apply(claim('later', { storageClassName: '' }));
    await untilTold('later', 'no persistent volumes available for this claim and no storage class is set');
    await untilTold('early', '0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims.');
    const path = join('/tmp', `${cluster.folder.split('/').at(-1)}-given`);
    await apply(
      volume('given', {
        storageClassName: '',
        persistentVolumeReclaimPolicy: 'Delete',
        hostPath: { path, type: 'DirectoryOrCreate' },
      }),
    );
    await ok('wait', '--for=condition=Ready', 'pod/early', '--timeout=150s');
    const bound = await read<PersistentVolumeClaim>('pvc later');
    expect(bound.status).toMatchObject({
      phase: 'Bound',
      capacity: { storage: '1Gi' },
      accessModes: ['ReadWriteOnce'],
    });
    expect((await read<PersistentVolume>('pv given')).spec?.claimRef?.uid).toBe(bound.metadata.uid);
    expect(await readdir(path)).toEqual(['file']);
    await ok('delete', 'pod/early', 'pvc/later', '--timeout=150s');
    // Controller and nodes share this machine's /tmp, as on a cluster of one.
    await ok('wait', '--for=delete', 'pv/given', '--timeout=150s');
    expect(existsSync(path)).toBe(false);
  });
});
