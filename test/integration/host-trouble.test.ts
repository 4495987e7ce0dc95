import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { HostChanges } from '#agent/network/host-changes.ts';
import { createPodNetwork } from '#agent/network/pod-network.ts';
import { examineNetwork } from '#agent/network/trouble/doctor.ts';
import { ChangeTracker } from '#agent/proxy/change-tracker.ts';
import { chooseBackend } from '#agent/proxy/choose-backend.ts';
import type { EndpointSlice, Service } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { HOST_FIREWALLS } from '#test/kit/host-firewalls.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';
import { UNENCRYPTED } from '#test/kit/unencrypted.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`firewalls of hosts skipped: ${problem}`);

const CLUSTER_CIDR = '10.244.0.0/16';
const SERVICE_IP = '10.96.0.20';
const NODE_PORT = 30080;

/** Each ends in working traffic, or in one finding that names cause and cure; with the cure, traffic works. */
describe.skipIf(problem !== undefined).each(HOST_FIREWALLS)('a host with $name', ({ name, apply, cure, reason }) => {
  let lab: PodLab;
  let host: FakeHost;
  const run = (command: string) => host.exec.run(['sh', '-euc', command]);

  beforeAll(async () => {
    lab = createPodLab('trb', [2, 1]);
    const plain = createExecutor();
    const [program, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
    const exec: Executor = {
      ...plain,
      run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options),
    };
    host = Object.assign(new FakeHost(), { exec });
    await host.fs.makeDirectory('/state');
    host.sysctls.set('net.ipv4.ip_forward', '1').set('net.bridge.bridge-nf-call-iptables', '1');
    await run('ip address add 169.254.10.53/32 dev lo');
    await run(apply);
    await setUpNode(host);
    await lab.pods[0]![1]!.agent.serve('near', 8080);
    await lab.pods[1]![0]!.agent.serve('far', 8080);
    await lab.outside.serve('outside', 8080);
    await lab.nodes[0]!.agent.serve('dns', 10053, { protocol: 'udp', host: '169.254.10.53' });
  });
  afterAll(() => lab?.destroy());

  const examine = () => examineNetwork({ host, iptables: 'iptables-nft', clusterCidrs: { IPv4: CLUSTER_CIDR } });

  /** What pods and their clients do, as what came of it. */
  async function traffic() {
    const pod = lab.pods[0]![0]!.agent;
    const reach = async (agent: typeof pod, address: string, port = 8080, protocol: 'tcp' | 'udp' = 'tcp') =>
      (await agent.dial(address, port, { protocol, timeoutMs: 400 })).split(' ')[0];
    return {
      'a pod of this node': await reach(pod, '10.244.0.11'),
      'a pod of another node': await reach(pod, '10.244.1.10'),
      'the world': await reach(pod, '198.51.100.1'),
      'a Service': await reach(pod, SERVICE_IP, 80),
      'the cluster DNS': await reach(pod, '169.254.10.53', 10053, 'udp'),
      'a pod from another node': await reach(lab.pods[1]![0]!.agent, '10.244.0.11'),
      'a node port from outside': await reach(lab.outside, '198.51.100.10', NODE_PORT),
    };
  }

  const ALL_WELL = {
    'a pod of this node': 'near',
    'a pod of another node': 'far',
    'the world': 'outside',
    'a Service': 'near',
    'the cluster DNS': 'dns',
    'a pod from another node': 'near',
    'a node port from outside': 'near',
  };

  it(cure === undefined ? 'has working pods' : 'says what is wrong, and its cure works', async () => {
    const { isSound, lines } = await examine();
    if (cure === undefined) {
      expect(lines).toEqual(expect.arrayContaining([expect.stringMatching(/^sound: /)]));
      await expect.poll(traffic).toEqual(ALL_WELL);
      return;
    }
    expect(isSound).toBe(false);
    expect(lines.join('\n')).toMatch(new RegExp(`^found: ${reason}: .*\n {2}to cure it: `));
    expect(await traffic(), `${name} was in nobody's way`).not.toEqual(ALL_WELL);
    await run(cure);
    await expect.poll(traffic).toEqual(ALL_WELL);
    expect((await examine()).lines).toEqual(expect.arrayContaining([expect.stringMatching(/^sound: /)]));
  });
});

/** As an agent does: the pod network, then a Service of one pod of this node. */
async function setUpNode(host: FakeHost): Promise<void> {
  const network = createPodNetwork({
    host,
    changes: new HostChanges(host, '/state/host-changes.json'),
    clock: systemClock,
    log: silentLogger,
    nodeName: 'me',
    clusterCidrs: { IPv4: CLUSTER_CIDR },
    cniConfigDirectory: '/cni',
    ipamDirectory: '/ipam',
    mtu: 0,
    transport: 'auto',
    vxlanPort: 8472,
    encryption: UNENCRYPTED,
    probePort: 10256,
    onProblems: () => {},
    resolver: { addresses: { IPv4: '169.254.10.53' }, port: 10053 },
    iptables: { IPv4: 'iptables-nft' },
  });
  await network.applyPodCidrs(['10.244.0.0/24']);
  const backend = await chooseBackend('nftables', {
    exec: host.exec,
    log: silentLogger,
    clusterCidrs: { IPv4: CLUSTER_CIDR },
    nodePortRanges: undefined,
    localhostNodePorts: false,
  });
  const tracker = new ChangeTracker({ nodeName: 'me' }, () => {});
  tracker.onService(SERVICE);
  tracker.onSlice(SLICE);
  await backend.fullSync(tracker.beginSync().plans);
}

const metadata = { namespace: 'default', resourceVersion: '1', creationTimestamp: '' };
const SERVICE = {
  metadata: { ...metadata, name: 'web', uid: 'web' },
  spec: {
    type: 'NodePort',
    clusterIP: SERVICE_IP,
    ports: [{ name: 'http', port: 80, nodePort: NODE_PORT, protocol: 'TCP' }],
  },
} as unknown as Service;
const SLICE = {
  addressType: 'IPv4',
  metadata: { ...metadata, name: 'web-x', uid: 'web-x', labels: { 'kubernetes.io/service-name': 'web' } },
  ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
  endpoints: [{ addresses: ['10.244.0.11'], conditions: { ready: true }, nodeName: 'me' }],
} as unknown as EndpointSlice;
