import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e volumes skipped: ${problem}`);

const WAIT_MS = 120_000;
const MIB = 2 ** 20;

/** A block device without anything on it, of `folder`; or why there is none. */
function attachDisk(folder: string): { readonly device: string } | { readonly why: string } {
  const file = join(folder, 'disk.img');
  execFileSync('truncate', ['-s', String(16 * MIB), file]);
  const { status, stdout, stderr } = spawnSync('losetup', ['--find', '--show', file], { encoding: 'utf8' });
  return status === 0 ? { device: stdout.trim() } : { why: `no loop device to be had: ${stderr}` };
}

/** Why no NFS export can be mounted here; undefined where one could be. */
function nfsProblem(): string | undefined {
  if (!/\tnfs4?$/m.test(readFileSync('/proc/filesystems', 'utf8'))) return 'the kernel has no NFS client';
  return spawnSync('sh', ['-c', 'command -v mount.nfs']).status === 0 ? undefined : 'mount.nfs is not installed';
}

/** What a tmpfs says of itself here that the kernel does not swap; any kernel's word where this one cannot help it. */
function outOfSwap(): string {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major > 6 || (major === 6 && minor >= 4)) return 'noswap';
  console.warn(`e2e volumes that do not go to swap skipped: Linux ${release()} is older than 6.4`);
  return '';
}

describe.skipIf(problem !== undefined)('volumes', () => {
  let cluster: TestCluster;
  let socket: Server | undefined;
  let disk: ReturnType<typeof attachDisk> = { why: 'not looked for yet' };
  const hostFolder = () => join(cluster.folder, 'host');
  const shared = () => join(hostFolder(), 'shared');
  const kubelet = () => join(cluster.agents[0]!.folder, 'kubelet');
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (...items: object[]) =>
    cluster.kubectlOk(['apply', '-f', '-'], { stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const inside = async (name: string, script: string, container = 'main') =>
    (await ok('exec', name, '-c', container, '--', 'sh', '-c', script)).trim();
  const ready = (name: string) => ok('wait', '--for=condition=Ready', `pod/${name}`, `--timeout=${WAIT_MS}ms`);
  const remove = (name: string) => ok('delete', 'pod', name, `--timeout=${WAIT_MS}ms`);
  const uidOf = async (name: string) => (JSON.parse(await ok('get', 'pod', name, '-o', 'json')) as Pod).metadata.uid;
  const untilTold = (name: string, text: string) =>
    waitUntil(`the Event "${text}" of ${name}`, WAIT_MS, async () =>
      (await ok('get', 'events', `--field-selector=involvedObject.name=${name}`, '-o', 'wide')).includes(text),
    );
  const container = (more: object = {}) => ({
    ...{ name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', '1000'] },
    ...more,
  });
  const pod = (name: string, spec: object, metadata: object = {}) => ({
    ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name, ...metadata } },
    spec: { nodeName: 'node-0', terminationGracePeriodSeconds: 1, ...spec },
  });
  const claimed = (name: string, volumeSpec: object): object[] => {
    const rest = { accessModes: ['ReadWriteOnce'], storageClassName: '' };
    const metadata = { name };
    const capacity = { storage: '16Mi' };
    const claimRef = { namespace: 'default', name };
    const nodeAffinity = {
      required: {
        nodeSelectorTerms: [
          { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node-0'] }] },
        ],
      },
    };
    return [
      {
        ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata },
        spec: { ...rest, capacity, claimRef, nodeAffinity, ...volumeSpec },
      },
      {
        ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata },
        spec: { ...rest, volumeName: name, resources: { requests: capacity } },
      },
    ];
  };

  beforeAll(async () => {
    cluster = await startCluster({ name: 'vols', nodes: 1 });
    await mkdir(shared(), { recursive: true });
    await writeFile(join(hostFolder(), 'file'), 'x');
    execFileSync('mknod', [join(hostFolder(), 'block'), 'b', '7', '202']);
    socket = createServer().listen(join(hostFolder(), 'socket'));
    await ok('create', 'configmap', 'settings', '--from-literal=a=one', '--from-literal=b=two');
    await ok('create', 'secret', 'generic', 'keys', '--from-literal=key=hidden');
  });
  afterAll(async () => {
    socket?.close();
    spawnSync('umount', ['--recursive', shared()]);
    await cluster?.destroy();
    if ('device' in disk) spawnSync('losetup', ['--detach', disk.device]);
  });

  const HOST_TYPES = {
    directory: { path: 'shared', type: 'Directory', is: '-d' },
    made: { path: 'made', type: 'DirectoryOrCreate', is: '-d' },
    file: { path: 'file', type: 'File', is: '-f' },
    touched: { path: 'touched', type: 'FileOrCreate', is: '-f' },
    socket: { path: 'socket', type: 'Socket', is: '-S' },
    block: { path: 'block', type: 'BlockDevice', is: '-b' },
    char: { path: '../../../dev/null', type: 'CharDevice', is: '-c' },
  } as const;

  it('of every kind are in their pod, with the owners and modes that it asks for', async () => {
    const hostVolumes = Object.entries(HOST_TYPES).map(([name, { path, type }]) => ({
      name,
      hostPath: { path: type === 'CharDevice' ? '/dev/null' : join(hostFolder(), path), type },
    }));
    const main = container({
      env: [{ name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
      volumeMounts: [
        ...['disk', 'memory', 'settings', 'none', 'keys', 'all'].map((name) => ({ name, mountPath: `/v/${name}` })),
        { name: 'disk', mountPath: '/v/sub', subPath: 'a/b' },
        { name: 'disk', mountPath: '/v/own', subPathExpr: 'of-$(POD)' },
        ...hostVolumes.map(({ name }) => ({ name, mountPath: `/h/${name}` })),
      ],
    });
    const projected = {
      sources: [
        { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
        { serviceAccountToken: { path: 'token', expirationSeconds: 600, audience: 'vault' } },
        { configMap: { name: 'settings', items: [{ key: 'b', path: 'deep/b' }] } },
        { secret: { name: 'keys' } },
      ],
    };
    const volumes = [
      { name: 'disk', emptyDir: {} },
      { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '4Mi' } },
      { name: 'settings', configMap: { name: 'settings', items: [{ key: 'a', path: 'sub/a', mode: 0o400 }] } },
      { name: 'none', configMap: { name: 'absent', optional: true } },
      { name: 'keys', secret: { secretName: 'keys', defaultMode: 0o400 } },
      { name: 'all', projected },
      ...hostVolumes,
    ];
    const securityContext = { runAsUser: 1000, fsGroup: 2000 };
    await apply(pod('kinds', { securityContext, volumes, containers: [main] }, { labels: { colour: 'green' } }));
    await ready('kinds');
    const said = await inside(
      'kinds',
      `cd /v; touch disk/x memory/x sub/x own/x || echo cannot write
       stat -c '%u:%g %a %n' disk/x memory/x disk/a/b disk/of-kinds
       grep -E ' /v/memory ' /proc/mounts | cut -d ' ' -f 1,3; df -k memory | tail -1 | tr -s ' ' | cut -d ' ' -f 2
       grep -cE '^tmpfs /v/(keys|all|memory) .*${outOfSwap()}' /proc/mounts
       cat settings/sub/a keys/key all/deep/b all/key; echo; cat all/labels; echo; ls none
       stat -L -c '%u:%g %a %n' settings/sub/a keys/key all/token; wc -c < all/token
       touch settings/x keys/x all/x 2>/dev/null && echo can write; true`,
    );
    const lines = said.split('\n');
    expect(lines.slice(0, -1)).toEqual([
      ...['1000:2000 644 disk/x', '1000:2000 644 memory/x', '0:2000 2777 disk/a/b', '0:2000 2777 disk/of-kinds'],
      ...['tmpfs tmpfs', '4096', '3', 'onehiddentwohidden', 'colour="green"'],
      ...['0:2000 440 settings/sub/a', '0:2000 440 keys/key', '1000:2000 640 all/token'],
    ]);
    expect(Number(lines.at(-1))).toBeGreaterThan(100);
    const checks = Object.entries(HOST_TYPES).map(([name, { is }]) => `test ${is} /h/${name} || echo ${name}`);
    expect(await inside('kinds', checks.join('\n'))).toBe('');
  });

  it('follow what they show, also in pods that were there before the agent, and as one change', async () => {
    const forgotten = join(kubelet(), 'pods', '11111111-2222-3333-4444-555555555555');
    const mounted = join(forgotten, 'volumes/kubernetes.io~empty-dir/left');
    const before = await inside('kinds', 'readlink /v/settings/..data');
    await cluster.agents[0]!.kill();
    await mkdir(mounted, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
    await cluster.agents[0]!.restart();
    await ok('patch', 'configmap', 'settings', '-p', JSON.stringify({ data: { a: 'three' } }));
    await ok('label', 'pod', 'kinds', '--overwrite', 'colour=blue');
    await waitUntil('the new content', WAIT_MS, async () => {
      // Until the agent listens again there is no answer.
      const shown = await inside('kinds', 'cat /v/settings/sub/a /v/all/labels').catch(() => '');
      return shown === 'threecolour="blue"';
    });
    expect(await inside('kinds', 'readlink /v/settings/..data; ls -A /v/settings | sort')).toMatch(
      new RegExp(`^(?!${before})\\.\\.\\d{4}_.*\\n\\.\\.\\d{4}_.*\\n\\.\\.data\\nsub$`),
    );
    await waitUntil('what nobody remembers to be gone', WAIT_MS, () => !existsSync(forgotten));
    await ok('patch', 'configmap', 'settings', '-p', JSON.stringify({ immutable: true }));
    const { code, stderr } = await cluster.kubectl(['patch', 'configmap', 'settings', '-p', '{"data":{"a":"four"}}']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('field is immutable when `immutable` is set')]);
  });

  it('pass mounts on as far as asked', async () => {
    execFileSync('mount', ['--bind', shared(), shared()]);
    execFileSync('mount', ['--make-shared', shared()]);
    const mount = (mountPropagation?: string) => ({
      volumeMounts: [{ name: 'shared', mountPath: '/shared', ...(mountPropagation ? { mountPropagation } : {}) }],
    });
    const command = [
      'sh',
      '-c',
      'mkdir -p /shared/t; mount -t tmpfs t /shared/t && touch /shared/t/x; exec sleep 1000',
    ];
    await apply(
      pod('sharing', {
        volumes: [{ name: 'shared', hostPath: { path: shared(), type: 'Directory' } }],
        containers: [
          container({ name: 'seer', ...mount('HostToContainer') }),
          container({ name: 'blind', ...mount() }),
          container({ command, securityContext: { privileged: true }, ...mount('Bidirectional') }),
        ],
      }),
    );
    await ready('sharing');
    await waitUntil('the mount on the host', WAIT_MS, () => existsSync(join(shared(), 't/x')));
    expect(await inside('sharing', 'ls /shared/t', 'seer')).toBe('x');
    expect(await inside('sharing', 'ls /shared/t', 'blind')).toBe('');
  });

  it('of claims on this host are formatted, mounted and given away as their PersistentVolume says', async ({
    skip,
  }) => {
    disk = attachDisk(cluster.folder);
    if ('why' in disk) console.warn(`e2e volumes on a device skipped: ${disk.why}`);
    if ('why' in disk) return skip();
    const { device } = disk;
    await mkdir(join(hostFolder(), 'plain/below'), { recursive: true });
    await apply(
      ...claimed('device', { local: { path: device } }),
      ...claimed('options', { local: { path: join(hostFolder(), 'plain') }, mountOptions: ['noexec'] }),
      ...claimed('reading', { hostPath: { path: hostFolder() } }),
    );
    const names = ['device', 'options', 'reading'];
    const volumes = names.map((name) => ({
      name,
      persistentVolumeClaim: { claimName: name, readOnly: name === 'reading' },
    }));
    const volumeMounts = names.map((name) => ({ name, mountPath: `/${name}` }));
    const claims = (name: string) =>
      pod(name, {
        ...{ securityContext: { runAsUser: 1000, fsGroup: 2000 }, volumes },
        containers: [container({ volumeMounts })],
      });
    await apply(claims('writer'));
    await ready('writer');
    const said = await inside(
      'writer',
      `echo kept > /device/file; stat -c '%u:%g %a' /device/file /options/below
       grep -E ' /(device|options) ' /proc/mounts | cut -d ' ' -f 2-4; touch /reading/x 2>&1; true`,
    );
    expect(said.split('\n')).toEqual([
      ...['1000:2000 644', '0:2000 2775'],
      expect.stringMatching(/^\/device ext4 rw/),
      expect.stringMatching(/^\/options .*noexec/),
      expect.stringContaining('Read-only file system'),
    ]);
    const summary = JSON.parse(await ok('get', '--raw', '/api/v1/nodes/node-0/proxy/stats/summary')) as {
      readonly pods: readonly {
        readonly volume: readonly { readonly name: string; readonly capacityBytes: number }[];
      }[];
    };
    const { capacityBytes = 0 } =
      summary.pods.flatMap(({ volume }) => volume).find(({ name }) => name === 'device') ?? {};
    expect(capacityBytes).toBeGreaterThan(8 * MIB);
    expect(capacityBytes).toBeLessThanOrEqual(16 * MIB);
    const folder = join(kubelet(), 'pods', await uidOf('writer'));
    await remove('writer');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(folder);
    // The last traces go after the object.
    await waitUntil('the folder to be gone', WAIT_MS, () => !existsSync(folder));
    await apply(claims('reader'));
    await ready('reader');
    expect(await inside('reader', 'cat /device/file')).toBe('kept');
    await remove('reader');
  });

  it("of a claim of the pod's own come and go with it", async () => {
    const [volume] = claimed('own-v', { hostPath: { path: join(hostFolder(), 'own'), type: 'DirectoryOrCreate' } });
    const spec = { accessModes: ['ReadWriteOnce'], storageClassName: '', resources: { requests: { storage: '16Mi' } } };
    const ephemeral = { volumeClaimTemplate: { metadata: { labels: { of: 'own' } }, spec } };
    const containers = [container({ volumeMounts: [{ name: 'v', mountPath: '/v' }] })];
    await apply(volume!, pod('own', { volumes: [{ name: 'v', ephemeral }], containers }));
    await ready('own');
    await inside('own', 'echo mine > /v/file');
    expect(readFileSync(join(hostFolder(), 'own/file'), 'utf8')).toBe('mine\n');
    expect(await ok('get', 'pvc', '-l', 'of=own', '-o', 'jsonpath={.items[*].status.phase}')).toBe('Bound');
    await remove('own');
    await ok('wait', '--for=delete', 'pvc/own-v', `--timeout=${WAIT_MS}ms`);
  });

  it('that cannot be had are told, and their pod waits', async () => {
    const why = nfsProblem();
    if (why === undefined) console.warn('e2e refusal of NFS skipped: this host can mount it');
    else console.warn(`e2e NFS volumes skipped: ${why}`);
    const mount = { volumeMounts: [{ name: 'v', mountPath: '/v' }] };
    const waiting = (name: string, volume: object) =>
      pod(name, { volumes: [{ name: 'v', ...volume }], containers: [container(mount)] });
    await apply(
      waiting('export', { nfs: { server: '127.0.0.1', path: '/e' } }),
      waiting('wrong-type', { hostPath: { path: join(hostFolder(), 'file'), type: 'Directory' } }),
      waiting('bundle', { projected: { sources: [{ clusterTrustBundle: { name: 'roots', path: 'ca.pem' } }] } }),
    );
    const failed = 'MountVolume.SetUp failed for volume "v" : ';
    await untilTold('wrong-type', `${failed}hostPath type check failed: ${hostFolder()}/file is not a directory`);
    await untilTold('bundle', `${failed}projected volume source clusterTrustBundle is not supported by this agent`);
    if (why === 'mount.nfs is not installed' || spawnSync('sh', ['-c', 'command -v mount.nfs']).status !== 0)
      await untilTold('export', `${failed}this host has no mount.nfs: install the NFS client`);
    expect((JSON.parse(await ok('get', 'pod', 'bundle', '-o', 'json')) as Pod).status?.phase).toBe('Pending');
    await ok('delete', 'pod', 'export', 'wrong-type', 'bundle', `--timeout=${WAIT_MS}ms`);
  });
});
