import { describe, expect, test } from 'vitest';
import type { ImageInfo } from '../../cri/runtime.ts';
import { podCgroupParent, podCgroupPath } from '../cgroups/cgroup-names.ts';
import { container, podWith, RULES } from '../testing/pod-fixtures.ts';
import { type ContainerConfigInput, computeContainerConfig } from './container-config.ts';
import { computeDns } from './dns.ts';
import { computeHostname, renderHostsFile } from './hostname.ts';
import { containerResources, cpuQuota, cpuShares, type ResourceRules } from './linux-resources.ts';
import { computeSandboxConfig } from './sandbox-config.ts';
import { containerSecurity, verifyRunAsNonRoot } from './security.ts';

const GIB = 2 ** 30;
const SECCOMP = { isDefault: true, profileRoot: '/var/lib/kubelet/seccomp' };
const NO_SECCOMP = { ...SECCOMP, isDefault: false };
const sized = (requests?: Record<string, string>, limits?: Record<string, string>) =>
  container('app', { resources: { ...(requests && { requests }), ...(limits && { limits }) } });
const podOf = (...containers: ReturnType<typeof container>[]) => podWith({ containers });

describe('resources', () => {
  test('cpu shares and quota keep to the bounds of the kernel', () => {
    expect([cpuShares(0), cpuShares(1), cpuShares(1500), cpuShares(1e9)]).toEqual([2, 2, 1536, 262_144]);
    expect([cpuQuota(0), cpuQuota(5), cpuQuota(500)]).toEqual([0, 1000, 50_000]);
  });

  test.each([
    ['BestEffort', sized(), 1000],
    ['Guaranteed', sized(undefined, { cpu: '1', memory: '1Gi' }), -997],
    ['Burstable with half of the memory', sized({ memory: '4Gi' }), 500],
    ['Burstable with next to nothing', sized({ memory: '1Mi' }), 999],
    ['Burstable with nearly all', sized({ memory: '8191Mi' }), 3],
  ])('OOM score of a %s container', (_name, item, expected) => {
    expect(containerResources(podOf(item), item, RULES).oomScoreAdj).toBe(expected);
  });

  test('a container without a limit has the one of its pod', () => {
    const item = sized(undefined, { memory: '16Mi' });
    const pod = podOf(item);
    const limited = { ...pod, spec: { ...pod.spec!, resources: { limits: { cpu: '200m', memory: '64Mi' } } } };
    expect(containerResources(limited, item, RULES)).toMatchObject({
      cpuQuota: 20_000,
      memoryLimitBytes: 16 * 2 ** 20,
    });
  });

  test('limits of memory are told to nobody where the kernel has no memory cgroup', () => {
    const item = sized(undefined, { memory: '1Gi' });
    const swap = { behavior: 'LimitedSwap', nodeSwapBytes: GIB } as const;
    const rules = { ...RULES, swap, singleProcessOomKill: false, hasMemoryLimits: false };
    const made = containerResources(podOf(item), item, rules);
    expect([made.memoryLimitBytes, made.unified]).toEqual([0, undefined]);
  });

  test('who asks for no huge pages of a size gets none of it', () => {
    const item = sized(undefined, { 'hugepages-2Mi': '4Mi' });
    expect(containerResources(podOf(item), item, { ...RULES, hugePageSizes: ['2MB', '1GB'] }).hugepages).toEqual([
      { pageSize: '2MB', limitBytes: 4 * 2 ** 20 },
      { pageSize: '1GB', limitBytes: 0 },
    ]);
    expect(containerResources(podOf(item), item, { ...RULES, hugePageSizes: [] }).hugepages).toHaveLength(1);
  });

  const burstable = sized({ memory: '1Gi' }, { memory: '3Gi' });
  const guaranteed = sized(undefined, { cpu: '1', memory: '1Gi' });
  const limited = { swap: { behavior: 'LimitedSwap', nodeSwapBytes: 4 * GIB } } as const;
  const qos = { memoryQos: { throttlingFactor: 0.9, isReserved: true, allocatableBytes: () => 7 * GIB } };
  test.each([
    [
      'all processes of a container end together',
      sized(),
      { singleProcessOomKill: false },
      { 'memory.oom.group': '1' },
    ],
    ['one of its processes may end alone', sized(), {}, undefined],
    [
      'swap is off for everybody',
      burstable,
      { swap: { ...limited.swap, behavior: 'NoSwap' } },
      { 'memory.swap.max': '0' },
    ],
    ['swap as its share of memory: Burstable', burstable, limited, { 'memory.swap.max': String(GIB / 2) }],
    ['swap as its share of memory: Guaranteed', guaranteed, limited, { 'memory.swap.max': '0' }],
    ['swap as its share of memory: BestEffort', sized(), limited, { 'memory.swap.max': '0' }],
    // 1 GiB + 0.9 * 2 GiB, in whole pages.
    ['memory QoS: Burstable', burstable, qos, { 'memory.low': String(GIB), 'memory.high': '3006476288' }],
    // Towards what the node can give.
    ['memory QoS: no limit', sized({ memory: '1Gi' }), qos, { 'memory.low': String(GIB), 'memory.high': '6871945216' }],
    ['memory QoS: Guaranteed', guaranteed, qos, { 'memory.min': String(GIB) }],
    ['memory QoS: BestEffort', sized(), qos, undefined],
    ['version 1 knows none of it', burstable, { ...qos, ...limited, cgroupVersion: 1 }, undefined],
  ] as const)('files of the unified hierarchy: %s', (_name, item, rules, expected) => {
    expect(containerResources(podOf(item), item, { ...RULES, ...rules } as ResourceRules).unified).toEqual(expected);
  });

  test('critical pods never swap', () => {
    const pod = podWith({ priority: 2_000_000_000, containers: [burstable] });
    expect(containerResources(pod, burstable, { ...RULES, ...limited }).unified).toEqual({ 'memory.swap.max': '0' });
  });
});

describe('cgroup names', () => {
  const pod = podWith({}, { uid: 'ab-12' });
  test.each([
    [{ driver: 'cgroupfs', root: '/' }, '/kubepods/besteffort/podab-12', '/kubepods/besteffort/podab-12'],
    [
      { driver: 'cgroupfs', root: '/node-1' },
      '/node-1/kubepods/besteffort/podab-12',
      '/node-1/kubepods/besteffort/podab-12',
    ],
    [
      { driver: 'systemd', root: '/' },
      'kubepods-besteffort-podab_12.slice',
      '/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podab_12.slice',
    ],
  ] as const)('%o', (settings, parent, path) => {
    expect(podCgroupParent(pod, settings)).toBe(parent);
    expect(podCgroupPath(pod, settings)).toBe(path);
  });
});

describe('computeDns', () => {
  const host = { servers: ['192.168.1.1'], searches: ['lan'], options: ['edns0'] };
  const dns = (spec: Parameters<typeof podWith>[0]) =>
    computeDns({ pod: podWith(spec), host, clusterDns: ['10.96.0.10'], clusterDomain: 'cluster.local' });
  const cluster = {
    servers: ['10.96.0.10'],
    searches: ['default.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'lan'],
    options: ['ndots:5'],
  };
  test.each([
    ['ClusterFirst', {}, cluster],
    ["ClusterFirst on the host's network", { hostNetwork: true }, host],
    ['ClusterFirstWithHostNet', { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' as const }, cluster],
    ['Default', { dnsPolicy: 'Default' as const }, host],
    [
      'None with its own settings',
      {
        dnsPolicy: 'None' as const,
        dnsConfig: { nameservers: ['1.1.1.1'], searches: ['x'], options: [{ name: 'ndots', value: '2' }] },
      },
      { servers: ['1.1.1.1'], searches: ['x'], options: ['ndots:2'] },
    ],
    [
      'ClusterFirst with an option of its own',
      { dnsConfig: { options: [{ name: 'ndots', value: '2' }] } },
      { ...cluster, options: ['ndots:2'] },
    ],
  ])('%s', (_name, spec, expected) => {
    expect(dns(spec)).toEqual(expected);
  });
});

test('a pod of a headless Service knows its full name, in its hosts file too', () => {
  const pod = podWith({ hostname: 'db-0', subdomain: 'db', hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] });
  const name = computeHostname(pod, 'cluster.local');
  expect(name).toEqual({ hostname: 'db-0', fqdn: 'db-0.db.default.svc.cluster.local' });
  const text = renderHostsFile({ pod, podIps: ['10.0.0.2'], name, hostFile: undefined });
  expect(text).toContain('10.0.0.2\tdb-0.db.default.svc.cluster.local\tdb-0\n');
  expect(text).toContain('1.2.3.4\ta\tb\n');
});

test('a hostname is cut to what the kernel takes', () => {
  expect(computeHostname(podWith({}, { name: `${'a'.repeat(62)}-b` }), 'cluster.local').hostname).toBe('a'.repeat(62));
});

describe('security', () => {
  const image = (uid: number | undefined, username = ''): ImageInfo => ({
    id: 'i',
    repoTags: [],
    repoDigests: [],
    sizeBytes: 0,
    uid,
    username,
  });
  const nonRoot = podWith({ securityContext: { runAsNonRoot: true } });
  const app = container('app');
  test.each([
    ['an image of root', image(0), 'container has runAsNonRoot and image will run as root'],
    ['an image without a user', image(undefined), 'container has runAsNonRoot and image will run as root'],
    [
      'an image with a named user',
      image(undefined, 'www'),
      'image has non-numeric user (www), cannot verify user is non-root',
    ],
  ])('runAsNonRoot refuses %s', (_name, info, message) => {
    expect(() => verifyRunAsNonRoot(nonRoot, app, info)).toThrow(message);
  });

  test('runAsNonRoot accepts a numeric user and is content with runAsUser', () => {
    verifyRunAsNonRoot(nonRoot, app, image(1000));
    verifyRunAsNonRoot(nonRoot, container('app', { securityContext: { runAsUser: 5 } }), image(0));
  });

  test("a container's settings win over the pod's, and privileged ones are unconfined", () => {
    const pod = podWith({ securityContext: { runAsUser: 1, fsGroup: 7, seccompProfile: { type: 'RuntimeDefault' } } });
    expect(containerSecurity(pod, container('app', { securityContext: { runAsUser: 2 } }), NO_SECCOMP)).toMatchObject({
      runAsUser: 2,
      supplementalGroups: [7],
      seccomp: { type: 'RuntimeDefault' },
    });
    const privileged = container('app', { securityContext: { privileged: true } });
    expect(containerSecurity(pod, privileged, SECCOMP)).toMatchObject({
      privileged: true,
      seccomp: { type: 'Unconfined' },
    });
    expect(containerSecurity(podWith(), app, NO_SECCOMP).seccomp).toEqual({ type: 'Unconfined', localhostRef: '' });
  });

  test('a container that says nothing of seccomp gets the profile of the runtime, unless it asked for none', () => {
    expect(containerSecurity(podWith(), app, SECCOMP).seccomp).toEqual({ type: 'RuntimeDefault', localhostRef: '' });
    const open = podWith({ securityContext: { seccompProfile: { type: 'Unconfined' } } });
    expect(containerSecurity(open, app, SECCOMP).seccomp).toEqual({ type: 'Unconfined', localhostRef: '' });
    const own = { seccompProfile: { type: 'Localhost' as const, localhostProfile: 'profiles/a.json' } };
    expect(containerSecurity(podWith(), container('app', { securityContext: own }), SECCOMP).seccomp).toEqual({
      type: 'Localhost',
      localhostRef: '/var/lib/kubelet/seccomp/profiles/a.json',
    });
  });
});

describe('computeContainerConfig', () => {
  const config = (more: Parameters<typeof container>[1], input: Partial<ContainerConfigInput> = {}) =>
    computeContainerConfig({
      pod: podWith(),
      container: container('app', more),
      sources: { configMaps: new Map(), secrets: new Map() },
      services: [],
      addresses: { podIps: [], hostIps: [] },
      allocatable: { cpu: 1, memory: 1, 'ephemeral-storage': 1 },
      attempt: 2,
      image: { id: 'sha256:1', repoTags: [], repoDigests: [], sizeBytes: 0, uid: 0, username: '' },
      volumes: new Map([['data', { hostPath: '/v/data', readOnly: false }]]),
      hostsFile: '/pods/etc-hosts',
      terminationLog: '/pods/term',
      rules: RULES,
      seccomp: SECCOMP,
      ...input,
    });

  test('expands command and arguments, and names log and attempt', () => {
    const made = config({ command: ['run', '$(A)'], args: ['$$(A)'], env: [{ name: 'A', value: 'x' }] });
    expect(made).toMatchObject({ command: ['run', 'x'], args: ['$(A)'], logPath: 'app/2.log', attempt: 2 });
    expect(made.annotations['io.kubernetes.container.restartCount']).toBe('2');
  });

  test('mounts volumes, sub-paths, the hosts file and the termination log', () => {
    const { mounts } = config({
      env: [{ name: 'A', value: 'x' }],
      volumeMounts: [
        { name: 'data', mountPath: '/data', readOnly: true },
        { name: 'data', mountPath: '/sub', subPathExpr: 'logs/$(A)' },
      ],
    });
    expect(mounts.map(({ containerPath, hostPath, readOnly }) => [containerPath, hostPath, readOnly])).toEqual([
      ['/data', '/v/data', true],
      ['/sub', '/v/data/logs/x', false],
      ['/etc/hosts', '/pods/etc-hosts', false],
      ['/dev/termination-log', '/pods/term', false],
    ]);
  });

  test('refuses a sub-path that is named after an unset or empty variable', () => {
    const env = [{ name: 'EMPTY', value: '' }];
    const volumeMounts = [{ name: 'data', mountPath: '/d', subPathExpr: '$(NOPE)/$(EMPTY)/$$(A)' }];
    expect(() => config({ env, volumeMounts })).toThrow('missing value for EMPTY, NOPE');
  });

  test.each([
    ['../x', "unable to provision SubPath `../x`: must not contain '..'"],
    ['/x', 'error SubPath `/x` must not be an absolute path'],
    ['a/../../b', "unable to provision SubPath `a/../../b`: must not contain '..'"],
  ])('refuses the sub-path %s', (subPath, message) => {
    expect(() => config({ volumeMounts: [{ name: 'data', mountPath: '/d', subPath }] })).toThrow(message);
  });
});

test("a sandbox on the host's network has no hostname and no port mappings", () => {
  const ports = [{ containerPort: 80, hostPort: 8080 }];
  const make = (hostNetwork: boolean) =>
    computeSandboxConfig({
      pod: podWith({ hostNetwork, containers: [container('app', { ports })] }),
      attempt: 0,
      logDirectory: '/logs',
      hostResolvConf: { servers: [], searches: [], options: [] },
      clusterDns: [],
      clusterDomain: 'cluster.local',
      cgroups: { driver: 'cgroupfs', root: '/' },
    });
  expect(make(true)).toMatchObject({ hostname: '', portMappings: [], namespaces: { network: 'NODE' } });
  expect(make(false)).toMatchObject({ hostname: 'web', portMappings: [{ hostPort: 8080, containerPort: 80 }] });
});
