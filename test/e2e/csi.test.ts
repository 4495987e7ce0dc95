import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachmentName } from '#agent/kubelet/volumes/csi/csi-volume.ts';
import type { CSINode, Node, PersistentVolumeClaim, Pod, VolumeAttachment } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e CSI skipped: ${problem}`);

const WAIT_MS = 40_000;
const PLAIN = 'plain.csi.test';
const ATTACHED = 'attached.csi.test';

interface Call {
  readonly method: string;
  readonly volume_id: string;
  readonly staging_target_path: string;
  readonly target_path: string;
  readonly volume_path: string;
  readonly secrets: Readonly<Record<string, string>>;
  readonly volume_context: Readonly<Record<string, string>>;
  readonly publish_context: Readonly<Record<string, string>>;
  readonly volume_capability: object;
}

interface Summary {
  readonly pods: readonly { readonly podRef: { readonly name: string }; readonly volume?: readonly object[] }[];
}

describe.skipIf(problem !== undefined)('volumes of CSI drivers', () => {
  let cluster: TestCluster;
  const drivers = new Map<string, ChildProcess>();
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (...items: object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const read = async <T>(what: string) => JSON.parse(await ok('get', ...what.split(' '), '-o', 'json')) as T;
  const kubelet = () => join(cluster.agents[0]!.folder, 'kubelet');
  const dataOf = (driver: string) => join(cluster.folder, driver);

  async function startDriver(name: string, ...capabilities: string[]): Promise<void> {
    await mkdir(dataOf(name), { recursive: true });
    const script = join(import.meta.dirname, '..', 'kit', 'csi-driver.ts');
    const args = [script, kubelet(), dataOf(name), name, ...capabilities];
    drivers.set(name, spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] }));
    await waitUntil(`${name} on the node`, WAIT_MS, async () =>
      (await read<CSINode>('csinode node-0')).spec.drivers.some((driver) => driver.name === name),
    );
  }

  async function end(name: string, signal: NodeJS.Signals): Promise<void> {
    const child = drivers.get(name)!;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
    drivers.delete(name);
  }

  async function calls(driver: string, volume: string): Promise<Call[]> {
    const text = await readFile(join(dataOf(driver), 'calls.jsonl'), 'utf8').catch(() => '');
    const all = text.split('\n').filter((line) => line !== '');
    return all.map((line) => JSON.parse(line) as Call).filter(({ volume_id }) => volume_id === volume);
  }

  /** A volume and a claim that name each other. */
  async function bind(name: string, spec: object, claimSpec: object = {}): Promise<void> {
    const shared = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
    const capacity = { storage: '1Gi' };
    await apply(
      {
        apiVersion: 'v1',
        kind: 'PersistentVolume',
        metadata: { name },
        spec: { ...shared, capacity, claimRef: { namespace: 'default', name }, ...spec },
      },
      {
        apiVersion: 'v1',
        kind: 'PersistentVolumeClaim',
        metadata: { name },
        spec: { ...shared, volumeName: name, resources: { requests: capacity }, ...claimSpec },
      },
    );
    await ok('wait', '--for=jsonpath={.status.phase}=Bound', `pvc/${name}`, `--timeout=${WAIT_MS}ms`);
  }

  const pod = (name: string, volume: object, more: { container?: object; spec?: object } = {}) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      nodeName: 'node-0',
      terminationGracePeriodSeconds: 1,
      volumes: [{ name: 'v', ...volume }],
      containers: [
        {
          name: 'main',
          image: BUSYBOX_IMAGE,
          command: ['sh', '-c', 'echo $HOSTNAME > /v/$HOSTNAME; exec sleep 600'],
          volumeMounts: [{ name: 'v', mountPath: '/v' }],
          ...more.container,
        },
      ],
      ...more.spec,
    },
  });
  const claimed = (claimName: string) => ({ persistentVolumeClaim: { claimName } });
  const ready = (name: string) => ok('wait', '--for=condition=Ready', `pod/${name}`, `--timeout=${WAIT_MS}ms`);
  const remove = (name: string) => ok('delete', 'pod', name, '--wait', '--timeout=150s');
  const events = (name: string) =>
    ok('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'jsonpath={.items[*].message}');
  const secret = (name: string, value: string) =>
    ok('create', 'secret', 'generic', name, `--from-literal=key=${value}`);

  beforeAll(async () => {
    cluster = await startCluster({ name: 'csi', nodes: 1 });
    await apply(
      {
        apiVersion: 'storage.k8s.io/v1',
        kind: 'CSIDriver',
        metadata: { name: PLAIN },
        spec: {
          attachRequired: false,
          podInfoOnMount: true,
          fsGroupPolicy: 'File',
          volumeLifecycleModes: ['Persistent', 'Ephemeral'],
          tokenRequests: [{ audience: 'vault' }],
        },
      },
      { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver', metadata: { name: ATTACHED }, spec: {} },
    );
    await secret('stage', 'at-stage');
    await secret('publish', 'at-publish');
    await startDriver(PLAIN, 'STAGE_UNSTAGE_VOLUME', 'EXPAND_VOLUME', 'GET_VOLUME_STATS');
  }, 240_000);
  afterAll(async () => {
    for (const child of drivers.values()) child.kill('SIGKILL');
    await cluster?.destroy();
  });

  it('a driver that registers is on the CSINode and the Node', async () => {
    const csiNode = await read<CSINode>('csinode node-0');
    expect(csiNode.spec.drivers).toEqual([
      { name: PLAIN, nodeID: `id-of-${PLAIN}`, topologyKeys: [`topology.${PLAIN}/rack`], allocatable: { count: 7 } },
    ]);
    const node = await read<Pod>('node node-0');
    expect(csiNode.metadata.ownerReferences).toMatchObject([{ kind: 'Node', uid: node.metadata.uid }]);
    expect(node.metadata.labels).toMatchObject({ [`topology.${PLAIN}/rack`]: 'r1' });
    const ids = node.metadata.annotations?.['csi.volume.kubernetes.io/nodeid'] ?? '{}';
    expect(JSON.parse(ids)).toEqual({ [PLAIN]: `id-of-${PLAIN}` });
  });

  it('a claimed volume is staged once for all its pods, grows, and is unstaged after the last', async () => {
    const csi = {
      ...{ driver: PLAIN, volumeHandle: 'vol-1', fsType: 'ext4', volumeAttributes: { colour: 'green' } },
      nodeStageSecretRef: { namespace: 'default', name: 'stage' },
      nodePublishSecretRef: { namespace: 'default', name: 'publish' },
    };
    await bind('data', { csi, mountOptions: ['noatime'] });
    const spec = { securityContext: { fsGroup: 2345 } };
    await apply(pod('first', claimed('data'), { spec }), pod('second', claimed('data'), { spec }));
    await Promise.all([ready('first'), ready('second')]);
    const files = join(dataOf(PLAIN), 'volumes', 'vol-1');
    expect((await readdir(files)).sort()).toEqual(['first', 'second']);
    expect(await stat(files)).toMatchObject({ gid: 2345 });
    expect((await stat(files)).mode & 0o2070).toBe(0o2070);

    const made = await calls(PLAIN, 'vol-1');
    expect(made.map(({ method }) => method)).toEqual(['NodeStageVolume', 'NodePublishVolume', 'NodePublishVolume']);
    const [stage, publish] = made as [Call, Call];
    expect(stage).toMatchObject({ secrets: { key: 'at-stage' }, volume_context: { colour: 'green' } });
    expect(stage.staging_target_path).toMatch(
      new RegExp(`^${kubelet()}/plugins/kubernetes.io/csi/${PLAIN}/[0-9a-f]{64}/globalmount$`),
    );
    expect(stage.volume_capability).toMatchObject({
      mount: { fs_type: 'ext4', mount_flags: ['noatime'] },
      access_mode: { mode: 'SINGLE_NODE_WRITER' },
    });
    expect(publish).toMatchObject({ secrets: { key: 'at-publish' }, staging_target_path: stage.staging_target_path });
    const uids = await Promise.all(
      ['first', 'second'].map(async (one) => (await read<Pod>(`pod ${one}`)).metadata.uid),
    );
    const targets = uids.map((uid) => `${kubelet()}/pods/${uid}/volumes/kubernetes.io~csi/data/mount`);
    expect(
      made
        .slice(1)
        .map(({ target_path }) => target_path)
        .sort(),
    ).toEqual(targets.sort());
    const record = await readFile(join(targets[0]!, '..', 'vol_data.json'), 'utf8');
    expect(JSON.parse(record)).toMatchObject({ specVolID: 'data', volumeHandle: 'vol-1', driverName: PLAIN });

    const own = '/api/v1/nodes/node-0/proxy';
    const summary = JSON.parse(await ok('get', '--raw', `${own}/stats/summary`)) as Summary;
    expect(summary.pods.find(({ podRef }) => podRef.name === 'first')?.volume).toContainEqual({
      ...{ name: 'v', pvcRef: { namespace: 'default', name: 'data' }, time: expect.anything() },
      ...{ capacityBytes: 1000, availableBytes: 600, usedBytes: 400, inodes: 100, inodesFree: 60, inodesUsed: 40 },
    });
    expect(await ok('get', '--raw', `${own}/metrics`)).toContain(
      'kubelet_volume_stats_available_bytes{namespace="default",persistentvolumeclaim="data"} 600\n',
    );

    // As a driver's own resizer leaves it to the node.
    const status = {
      allocatedResources: { storage: '2Gi' },
      allocatedResourceStatuses: { storage: 'NodeResizePending' },
      conditions: [{ type: 'FileSystemResizePending', status: 'True' }],
    };
    await ok('patch', 'pvc', 'data', '--subresource=status', '--type=merge', '-p', JSON.stringify({ status }));
    await ok('patch', 'pv', 'data', '-p', JSON.stringify({ spec: { capacity: { storage: '2Gi' } } }));
    // Looked at once a minute, and at once when the pod changes.
    await ok('annotate', 'pod', 'first', 'look=now');
    await waitUntil('the claim to have grown', WAIT_MS, async () => {
      const { status } = await read<PersistentVolumeClaim>('pvc data');
      return status?.capacity?.storage === '2Gi';
    });
    const grown = (await read<PersistentVolumeClaim>('pvc data')).status;
    expect([grown?.allocatedResourceStatuses, grown?.conditions]).toEqual([undefined, undefined]);
    await waitUntil('the Event', WAIT_MS, async () =>
      (await events('data')).includes('MountVolume.NodeExpandVolume succeeded for volume "data" node-0'),
    );

    await remove('first');
    expect((await calls(PLAIN, 'vol-1')).at(-1)).toMatchObject({ method: 'NodeUnpublishVolume' });
    expect(existsSync(stage.staging_target_path)).toBe(true);
    await remove('second');
    await waitUntil('the volume to be unstaged', WAIT_MS, () => !existsSync(stage.staging_target_path));
    expect((await calls(PLAIN, 'vol-1')).map(({ method }) => method).slice(-2)).toEqual([
      'NodeUnpublishVolume',
      'NodeUnstageVolume',
    ]);
    expect((await readdir(files)).sort()).toEqual(['first', 'second']);
  });

  it('a volume written in the pod comes and goes with it, and its driver is told of the pod', async () => {
    const csi = {
      driver: PLAIN,
      volumeAttributes: { size: '1' },
      nodePublishSecretRef: { name: 'publish' },
      readOnly: true,
    };
    const command = ['sh', '-c', 'touch /v/x 2>/dev/null && exit 1; exec sleep 600'];
    await apply(pod('inline', { csi }, { container: { command } }));
    await ready('inline');
    const { uid } = (await read<Pod>('pod inline')).metadata;
    const record = join(kubelet(), 'pods', uid, 'volumes/kubernetes.io~csi/v/vol_data.json');
    const { volumeHandle, volumeLifecycleMode } = JSON.parse(await readFile(record, 'utf8'));
    expect(volumeLifecycleMode).toBe('Ephemeral');
    const [publish] = await calls(PLAIN, volumeHandle);
    expect(publish).toMatchObject({
      method: 'NodePublishVolume',
      staging_target_path: '',
      secrets: { key: 'at-publish' },
    });
    expect(publish?.volume_context).toMatchObject({
      size: '1',
      'csi.storage.k8s.io/pod.name': 'inline',
      'csi.storage.k8s.io/pod.uid': uid,
      'csi.storage.k8s.io/serviceAccount.name': 'default',
      'csi.storage.k8s.io/ephemeral': 'true',
    });
    const tokens = JSON.parse(publish?.volume_context['csi.storage.k8s.io/serviceAccount.tokens'] ?? '{}');
    expect(tokens.vault.token).toMatch(/^ey/);
    expect(Date.parse(tokens.vault.expirationTimestamp)).toBeGreaterThan(Date.now());
    await remove('inline');
    expect((await calls(PLAIN, volumeHandle)).at(-1)).toMatchObject({ method: 'NodeUnpublishVolume' });
  });

  it('a raw block volume is a device of its container', async () => {
    const block = { volumeMode: 'Block' };
    await bind('raw', { ...block, csi: { driver: PLAIN, volumeHandle: 'vol-raw' } }, block);
    const container = {
      command: ['sh', '-c', 'test -b /dev/disk && exec sleep 600'],
      volumeMounts: [],
      volumeDevices: [{ name: 'v', devicePath: '/dev/disk' }],
    };
    await apply(pod('blocks', claimed('raw'), { container }));
    await ready('blocks');
    const { uid } = (await read<Pod>('pod blocks')).metadata;
    const devices = join(kubelet(), 'plugins/kubernetes.io/csi/volumeDevices');
    expect((await calls(PLAIN, 'vol-raw')).map((call) => [call.method, call.target_path ?? call.staging_target_path]))
      // Calls without a target have an empty one.
      .toEqual([
        ['NodeStageVolume', expect.anything()],
        ['NodePublishVolume', `${devices}/publish/raw/${uid}`],
      ]);
    expect((await stat(join(devices, 'raw/dev', uid))).isBlockDevice()).toBe(true);
    await remove('blocks');
    await waitUntil('no trace of the device', WAIT_MS, () => !existsSync(join(devices, 'raw')));
    expect((await calls(PLAIN, 'vol-raw')).map(({ method }) => method).slice(-2)).toEqual([
      'NodeUnpublishVolume',
      'NodeUnstageVolume',
    ]);
  });

  it('claims on directories and devices of the host need no driver', async () => {
    const folder = join(cluster.folder, 'host');
    await mkdir(folder);
    const device = join(cluster.folder, 'device');
    execFileSync('mknod', [device, 'b', '7', '201']);
    const term = { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node-0'] }] };
    const nodeAffinity = { required: { nodeSelectorTerms: [term] } };
    await bind('folder', { local: { path: folder }, nodeAffinity });
    const block = { volumeMode: 'Block' };
    await bind('device', { ...block, local: { path: device }, nodeAffinity }, block);
    await bind('no-device', { ...block, local: { path: folder }, nodeAffinity }, block);
    const command = ['sh', '-c', 'test -b /dev/disk && exec sleep 600'];
    const container = { command, volumeMounts: [], volumeDevices: [{ name: 'v', devicePath: '/dev/disk' }] };
    await apply(
      pod('writer', claimed('folder')),
      pod('local-block', claimed('device'), { container }),
      pod('no-block', claimed('no-device'), { container }),
    );
    await Promise.all([ready('writer'), ready('local-block')]);
    expect(await readdir(folder)).toEqual(['writer']);
    await waitUntil('the refusal', WAIT_MS, async () =>
      (await events('no-block')).includes(
        `MapVolume.SetUpDevice failed for volume "no-device" : ${folder} is not a block device`,
      ),
    );
    await Promise.all(['writer', 'local-block', 'no-block'].map(remove));
    expect(await readdir(folder)).toEqual(['writer']);
    expect((await stat(device)).isBlockDevice()).toBe(true);
  });

  it('what a driver refuses is told as it says it', async () => {
    await bind('broken', { csi: { driver: PLAIN, volumeHandle: 'broken-1' } });
    await apply(pod('refused', claimed('broken')), pod('unknown', { csi: { driver: 'nobody.test' } }));
    await waitUntil('the refusal', WAIT_MS, async () =>
      (await events('refused')).includes(
        'MountVolume.MountDevice failed for volume "broken" : rpc error: code = Internal desc = volume broken-1 is broken',
      ),
    );
    await waitUntil('the missing driver', WAIT_MS, async () =>
      (await events('unknown')).includes(
        'MountVolume.SetUp failed for volume "v" : driver name nobody.test not found in the list of registered CSI drivers',
      ),
    );
    await Promise.all([remove('refused'), remove('unknown')]);
  });

  it('a volume that must be attached waits for it, and has what the attacher left', async () => {
    await startDriver(ATTACHED);
    await bind('remote', { csi: { driver: ATTACHED, volumeHandle: 'vol-2' } });
    await apply(pod('waiting', claimed('remote')));
    await waitUntil('the wait', WAIT_MS, async () =>
      /has no VolumeAttachment|is not attached/.test(await events('waiting')),
    );
    const name = attachmentName('vol-2', ATTACHED, 'node-0');
    const { spec } = await read<VolumeAttachment>(`volumeattachment ${name}`);
    expect(spec).toEqual({ attacher: ATTACHED, nodeName: 'node-0', source: { persistentVolumeName: 'remote' } });
    const status = JSON.stringify({ status: { attached: true, attachmentMetadata: { device: '/dev/sdx' } } });
    await ok('patch', 'volumeattachment', name, '--subresource=status', '--type=merge', '-p', status);
    await ready('waiting');
    await waitUntil('the node to hold it', WAIT_MS, async () => {
      const { status } = await read<Node>('node node-0');
      const unique = `kubernetes.io/csi/${ATTACHED}^vol-2`;
      const isAttached = status?.volumesAttached?.some((attached) => attached.name === unique) === true;
      return isAttached && status?.volumesInUse?.includes(unique) === true;
    });
    expect(await events('waiting')).toContain('AttachVolume.Attach succeeded for volume "remote"');
    expect(await calls(ATTACHED, 'vol-2')).toMatchObject([
      { method: 'NodePublishVolume', publish_context: { device: '/dev/sdx' }, staging_target_path: '' },
    ]);
  });

  it('a pod cannot go while its driver is away, and goes when it is back', async () => {
    await end(ATTACHED, 'SIGTERM');
    await waitUntil('the CSINode to lose it', WAIT_MS, async () =>
      (await read<CSINode>('csinode node-0')).spec.drivers.every(({ name }) => name !== ATTACHED),
    );
    await ok('delete', 'pod', 'waiting', '--wait=false');
    await waitUntil('its containers to have ended', WAIT_MS, async () => {
      const { status } = await read<Pod>('pod waiting');
      return status?.containerStatuses?.[0]?.state?.terminated !== undefined;
    });
    await startDriver(ATTACHED);
    await ok('wait', '--for=delete', 'pod/waiting', `--timeout=${WAIT_MS}ms`);
    expect((await calls(ATTACHED, 'vol-2')).at(-1)).toMatchObject({ method: 'NodeUnpublishVolume' });
    await ok(
      'wait',
      '--for=delete',
      `volumeattachment/${attachmentName('vol-2', ATTACHED, 'node-0')}`,
      `--timeout=${WAIT_MS}ms`,
    );
  });
});
