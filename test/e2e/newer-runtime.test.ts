import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, Node, Pod } from '#api/object/kinds.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { findContainerd, withPrograms } from '#test/kit/containerd-releases.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const programs = findContainerd('sid');
const problem = labProblem() ?? (typeof programs === 'string' ? programs : undefined);
if (problem !== undefined) console.warn(`e2e newer runtime skipped: ${problem}`);

type PodSpec = NonNullable<Pod['spec']>;
type Container = PodSpec['containers'][number];

const WAIT_MS = 60_000;
const HUGE_PAGES = '/proc/sys/vm/nr_hugepages';
const HUGE_PAGE_MIB = 2;
const IMAGE_VOLUME = { name: 'image', image: { reference: BUSYBOX_IMAGE, pullPolicy: 'Never' } } as const;

/** What only containerd 2 can do, with a runc that knows user namespaces; and huge pages, which a host must have set aside. */
describe.skipIf(problem !== undefined)('a node with containerd 2', () => {
  let cluster: TestCluster;
  const hadHugePages = Number(readFileSync(HUGE_PAGES, 'utf8'));
  let hasHugePages = false;
  const ok = (...args: string[]) => cluster.kubectlOk(args);
  const apply = (name: string, spec: PodSpec) =>
    cluster.kubectlOk(['apply', '-f', '-'], {
      stdin: JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }),
    });
  const container = (more: Partial<Container> = {}): Container => ({ name: 'main', image: BUSYBOX_IMAGE, ...more });
  const inside = async (pod: string, script: string) => (await ok('exec', pod, '--', 'sh', '-c', script)).trim();
  const statusOf = async (pod: string) =>
    (JSON.parse(await ok('get', 'pod', pod, '-o', 'json')) as Pod).status?.containerStatuses?.[0];
  const ready = (pod: string) => ok('wait', '--for=condition=Ready', `pod/${pod}`, `--timeout=${WAIT_MS}ms`);
  const untilEvent = (pod: string, message: string) =>
    waitUntil(`the event "${message}" of ${pod}`, WAIT_MS, async () => {
      const list = JSON.parse(await ok('get', 'events', '-o', 'json', `--field-selector=involvedObject.name=${pod}`));
      return (list as { items: Event[] }).items.some((event) => event.message?.includes(message));
    });

  beforeAll(async () => {
    if (typeof programs === 'string') return;
    // The agent asks when it starts.
    writeFileSync(HUGE_PAGES, String(hadHugePages + 4));
    hasHugePages = Number(readFileSync(HUGE_PAGES, 'utf8')) >= hadHugePages + 4;
    cluster = await startCluster({
      name: 'newrt',
      nodes: 1,
      agentFlags: ['--container-log-max-size', '64Ki', '--container-log-max-files', '3'],
      environment: { PATH: withPrograms(programs.folders).PATH! },
    });
  });
  afterAll(async () => {
    await cluster?.destroy();
    writeFileSync(HUGE_PAGES, String(hadHugePages));
  });

  it('says what it can', async () => {
    const node = JSON.parse(await ok('get', 'node', 'node-0', '-o', 'json')) as Node;
    expect(node.status?.nodeInfo?.containerRuntimeVersion).toMatch(/^containerd:\/\/2\./);
    const features = { recursiveReadOnlyMounts: true, userNamespaces: true };
    expect(node.status?.runtimeHandlers).toContainEqual({ name: 'runc', features });
    expect(node.status?.features).toEqual({ supplementalGroupsPolicy: true });
  });

  it('gives a pod users of its own, to which its volumes belong, and an image as a volume', async () => {
    await apply('own-users', {
      hostUsers: false,
      securityContext: { supplementalGroupsPolicy: 'Strict', supplementalGroups: [4242], fsGroup: 4243 },
      volumes: [IMAGE_VOLUME, { name: 'disk', emptyDir: {} }, { name: 'memory', emptyDir: { medium: 'Memory' } }],
      containers: [
        container({
          securityContext: { procMount: 'Unmasked' },
          volumeMounts: ['image', 'disk', 'memory'].map((name) => ({ name, mountPath: `/${name}` })),
        }),
      ],
    });
    await ready('own-users');
    const [map, groups, owners, image, readOnlyProc, token] = (
      await inside(
        'own-users',
        `echo $(cat /proc/self/uid_map)
         id -G
         touch /disk/a /memory/a && echo $(stat -c %u:%g /disk/a /memory/a)
         touch /image/x 2>/dev/null; echo $(ls /image)
         grep -c ' /proc/' /proc/mounts
         test -s /var/run/secrets/kubernetes.io/serviceaccount/token && echo token`,
      )
    ).split('\n');
    expect(map).toMatch(/^0 [1-9]\d+ 65536$/);
    expect(groups).toBe('0 4242 4243');
    expect(owners).toBe('0:4243 0:4243');
    expect(image).toBe('bin etc root tmp');
    expect([readOnlyProc, token]).toEqual(['0', 'token']);
    expect((await statusOf('own-users'))?.user).toEqual({
      linux: { uid: 0, gid: 0, supplementalGroups: [4242, 4243] },
    });
  });

  it('makes mounts read-only to the ground, and shows with whose groups a container runs', async () => {
    await apply('read-only', {
      volumes: [{ name: 'host', hostPath: { path: join(cluster.folder, 'n0') } }],
      containers: [
        container({
          securityContext: { runAsUser: 65534 },
          volumeMounts: [{ name: 'host', mountPath: '/host', readOnly: true, recursiveReadOnly: 'Enabled' }],
        }),
      ],
    });
    await ready('read-only');
    const below = await inside(
      'read-only',
      "grep ' /host/' /proc/mounts | cut -d ' ' -f 4 | cut -d , -f 1 | sort | uniq",
    );
    expect(below).toBe('ro');
    const { user, volumeMounts } = (await statusOf('read-only')) ?? {};
    expect(user?.linux).toMatchObject({ uid: 65534, gid: 65534, supplementalGroups: expect.arrayContaining([60]) });
    expect(volumeMounts?.find(({ name }) => name === 'host')?.recursiveReadOnly).toBe('Enabled');
  });

  it('refuses what this runtime would do otherwise than asked', async () => {
    await apply('part-of-image', {
      volumes: [IMAGE_VOLUME],
      containers: [container({ volumeMounts: [{ name: 'image', mountPath: '/image', subPath: 'etc' }] })],
    });
    await untilEvent('part-of-image', 'subPath of image volumes needs containerd 2.2');
  });

  it('gives huge pages to whom asked, as far as they go', async ({ skip }) => {
    if (!hasHugePages) console.warn('e2e huge pages skipped: the kernel has none to spare');
    if (!hasHugePages) skip();
    const huge = (mib: number) => ({ limits: { 'hugepages-2Mi': `${mib}Mi`, memory: '32Mi', cpu: '100m' } });
    await apply('huge', {
      volumes: [{ name: 'huge', emptyDir: { medium: 'HugePages-2Mi' } }],
      containers: [container({ resources: huge(4), volumeMounts: [{ name: 'huge', mountPath: '/huge' }] })],
    });
    const tooMany = HUGE_PAGE_MIB * (hadHugePages + 5);
    await apply('too-huge', { containers: [container({ resources: huge(tooMany) })] });
    await ready('huge');
    expect(await inside('huge', "grep ' /huge ' /proc/mounts")).toMatch(/ hugetlbfs .*pagesize=2M/);
    await untilEvent('too-huge', 'Insufficient hugepages-2Mi');
  });

  it('rotates and compresses logs, and goes on telling them', async () => {
    const talk =
      'i=0; while :; do i=$((i+1)); echo line $i is as long as it needs to be; [ $((i % 2000)) = 0 ] && sleep 1; done';
    await apply('chatty', { containers: [container({ command: ['sh', '-c', talk] })] });
    await ready('chatty');
    const logs = join(cluster.folder, 'n0', 'pod-logs');
    const filesOf = () => {
      const folder = readdirSync(logs).find((name) => name.startsWith('default_chatty_'));
      return folder === undefined ? [] : readdirSync(join(logs, folder, 'main'));
    };
    await waitUntil('a compressed log', WAIT_MS, () => filesOf().some((name) => /^0\.log\.[\d-]+\.gz$/.test(name)));
    expect(filesOf().filter((name) => !name.endsWith('.tmp')).length).toBeLessThanOrEqual(4);
    // A log that was rotated just now is empty.
    await waitUntil('a line', WAIT_MS, async () => /^line \d+ is as long/.test(await ok('logs', 'chatty', '--tail=1')));
  });
});
