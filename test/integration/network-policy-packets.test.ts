import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createExecutor } from '#agent/host/executor.ts';
import type { Executor } from '#agent/host/host.ts';
import { createPolicyEnforcer, removePolicyTables } from '#agent/network/policy/policy-enforcer.ts';
import type { Informer } from '#api/client/informer.ts';
import { NODE_POLICY_KEY } from '#api/network/node-policy.ts';
import type { ConfigMap, Namespace, Pod } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { compilePolicies, type NetworkPolicy } from '#controller/controllers/network-policy/compile-policies.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { createPodLab, type PodLab } from '#test/kit/pod-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`network policies with real packets skipped: ${problem}`);

const OPEN = ['web', 'db', 'far', 'outside', 'node'];

/**
 * Pods web (10.244.0.10) and db (10.244.0.11) on one bridge, far (10.244.1.10, in namespace b) on another node, a machine outside. Policies
 * are compiled by the controller's own compiler and enforced on the node of web and db.
 */
describe.skipIf(problem !== undefined)('network policies with real packets', () => {
  let lab: PodLab;
  let exec: Executor;
  const stop = new AbortController();
  let shown: ConfigMap | undefined;
  let tell = () => {};

  beforeAll(async () => {
    lab = createPodLab('np', [2, 1]);
    const plain = createExecutor();
    const [program, ...rest] = lab.nodes[0]!.host.enter as [string, ...string[]];
    exec = { ...plain, run: ([command, ...args], options) => plain.run([program, ...rest, command, ...args], options) };
    for (const [index, name] of ['web', 'db', 'far'].entries()) {
      const { agent } = lab.pods.flat()[index]!;
      for (const port of [8080, 8081, 9090]) await agent.serve(name, port, { host: '::' });
      await agent.serve(name, 5353, { protocol: 'udp' });
    }
    await lab.outside.serve('outside', 8080);
    await lab.nodes[0]!.agent.serve('node', 8080);
    const compiled = {
      addHandler: ({ onAdd }: { onAdd(): void }) => {
        tell = onAdd;
      },
      waitForSync: async () => {},
      list: () => (shown === undefined ? [] : [shown]),
    } as unknown as Informer<ConfigMap>;
    createPolicyEnforcer({
      exec,
      clock: systemClock,
      log: silentLogger,
      compiled,
      families: ['IPv4', 'IPv6'],
      dns: { addresses: { IPv4: '169.254.10.53' }, port: 10053 },
      clusterDns: ['10.96.0.10'],
      onProblems: () => {},
    }).start(stop.signal);
  });
  afterAll(async () => {
    stop.abort();
    await lab?.destroy();
  });

  const metadata = (name: string, namespace: string, labels: object = {}) => ({
    name,
    namespace,
    labels,
    uid: name,
    resourceVersion: '1',
    creationTimestamp: '',
  });
  const pods = () =>
    ['web', 'db', 'far'].map((name, index) => {
      const { address, address6 } = lab.pods.flat()[index]!;
      const namespace = name === 'far' ? 'b' : 'a';
      return {
        metadata: metadata(name, namespace, { app: name }),
        spec: {
          nodeName: name === 'far' ? 'n1' : 'n0',
          containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }],
        },
        status: { phase: 'Running', podIPs: [{ ip: address }, { ip: address6 }] },
      } as unknown as Pod;
    });
  const namespaces = ['a', 'b'].map(
    (name) => ({ metadata: { ...metadata(name, ''), labels: { team: name } } }) as unknown as Namespace,
  );

  /** Enforces exactly these policies of namespace a; resolves once the kernel holds them. */
  async function enforce(...specs: object[]): Promise<void> {
    const policies = specs.map(
      (spec, index) => ({ metadata: metadata(`p${index}`, 'a'), spec }) as unknown as NetworkPolicy,
    );
    const policy = compilePolicies({ policies, pods: pods(), namespaces }).get('n0');
    const before = await ruleset();
    shown =
      policy === undefined
        ? undefined
        : ({ data: { [NODE_POLICY_KEY]: JSON.stringify(policy) } } as unknown as ConfigMap);
    tell();
    await expect.poll(async () => (await ruleset()) !== before, { timeout: 60_000 }).toBe(true);
  }
  const ruleset = async () => (await exec.run(['nft', 'list', 'ruleset'])).stdout;

  const agents = () => ({
    web: lab.pods[0]![0]!.agent,
    db: lab.pods[0]![1]!.agent,
    far: lab.pods[1]![0]!.agent,
    outside: lab.outside,
    node: lab.nodes[0]!.agent,
  });
  type Who = keyof ReturnType<typeof agents>;
  /** Who reaches `host:port`. */
  async function reaching(host: string, port = 8080, protocol: 'tcp' | 'udp' = 'tcp'): Promise<string[]> {
    const all = await Promise.all(
      Object.entries(agents()).map(async ([name, agent]) =>
        /^[a-z0-9]+ \S+$/.test(await agent.dial(host, port, { timeoutMs: 400, protocol })) ? [name] : [],
      ),
    );
    return all.flat();
  }
  const from = async (who: Who, host: string, port = 8080) => agents()[who].dial(host, port, { timeoutMs: 400 });
  /** A busy machine may need more than one try. */
  const answers = (who: Who, host: string, port = 8080) => expect.poll(() => from(who, host, port));
  const web = '10.244.0.10';
  const db = '10.244.0.11';
  const far = '10.244.1.10';
  const only = (app: string) => ({ podSelector: { matchLabels: { app } } });

  it('without policies everybody reaches everybody', async () => {
    await expect.poll(() => reaching(web)).toEqual(OPEN);
  });

  it('a pod that is selected is isolated, its own node and itself aside; others are not', async () => {
    await enforce({ ...only('web'), policyTypes: ['Ingress'] });
    // Its node must reach it: probes come from there.
    await expect.poll(() => reaching(web)).toEqual(['web', 'node']);
    await expect.poll(() => reaching(db)).toEqual(OPEN);
    await answers('web', db).toMatch(/^db/);
  });

  it('lets in pods by label, namespaces by label, and blocks without their exceptions', async () => {
    const base = { ...only('web'), policyTypes: ['Ingress'] };
    await enforce({ ...base, ingress: [{ from: [only('db')] }] });
    await expect.poll(() => reaching(web)).toEqual(['web', 'db', 'node']);
    await enforce({ ...base, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: 'b' } } }] }] });
    await expect.poll(() => reaching(web)).toEqual(['web', 'far', 'node']);
    await enforce({
      ...base,
      ingress: [{ from: [{ ipBlock: { cidr: '10.244.0.0/15', except: ['10.244.1.0/24'] } }] }],
    });
    await expect.poll(() => reaching(web)).toEqual(['web', 'db', 'node']);
    await enforce({ ...base, ingress: [{ from: [{ ipBlock: { cidr: '0.0.0.0/0', except: ['10.244.0.0/16'] } }] }] });
    await expect.poll(() => reaching(web)).toEqual(['web', 'outside', 'node']);
  });

  it('lets in ports by number, range and name, protocol by protocol', async () => {
    const base = { ...only('web'), policyTypes: ['Ingress'] };
    await enforce({ ...base, ingress: [{ ports: [{ port: 8080, endPort: 8081 }] }] });
    await answers('db', web, 8080).toMatch(/^web/);
    await answers('db', web, 8081).toMatch(/^web/);
    expect(await from('db', web, 9090)).toBe('timeout');
    await expect.poll(() => reaching(web, 5353, 'udp')).toEqual(['web', 'node']);
    await enforce({ ...base, ingress: [{ ports: [{ port: 'http' }] }, { ports: [{ protocol: 'UDP', port: 5353 }] }] });
    await answers('db', web, 8080).toMatch(/^web/);
    expect(await from('db', web, 8081)).toBe('timeout');
    await expect.poll(() => reaching(web, 5353, 'udp')).toEqual(OPEN);
  });

  it('lets out to what is allowed, on the bridge, to other nodes, outside and to the node itself', async () => {
    const base = { ...only('web'), policyTypes: ['Egress'] };
    await enforce({ ...base, egress: [{ to: [only('db')], ports: [{ port: 8080 }] }] });
    await answers('web', db).toMatch(/^db/);
    expect(await from('web', db, 9090)).toBe('timeout');
    expect(await from('web', far)).toBe('timeout');
    expect(await from('web', '198.51.100.1')).toBe('timeout');
    expect(await from('web', '198.51.100.10')).toBe('timeout');
    await answers('db', far).toMatch(/^far/);
    await expect.poll(() => reaching(web)).toEqual(OPEN);
    await enforce({ ...base, egress: [{ to: [{ ipBlock: { cidr: '198.51.100.0/24' } }] }] });
    await answers('web', '198.51.100.1').toMatch(/^outside/);
    await answers('web', '198.51.100.10').toMatch(/^node/);
    expect(await from('web', db)).toBe('timeout');
  });

  it('policies add up', async () => {
    await enforce(
      { ...only('web'), policyTypes: ['Ingress'], ingress: [{ from: [only('db')] }] },
      { ...only('web'), policyTypes: ['Ingress'], ingress: [{ ports: [{ port: 9090 }] }] },
      { ...only('db'), policyTypes: ['Ingress', 'Egress'], egress: [{ to: [only('web')] }] },
    );
    await expect.poll(() => reaching(web)).toEqual(['web', 'db', 'node']);
    await expect.poll(() => reaching(web, 9090)).toEqual(OPEN);
    await expect.poll(() => reaching(db)).toEqual(['db', 'node']);
  });

  it('IPv6 is judged alike', async () => {
    await enforce({ ...only('web'), policyTypes: ['Ingress'], ingress: [{ from: [only('db')] }] });
    const { address6 } = lab.pods[0]![0]!;
    expect(await agents().db.dial(address6, 8080, { timeoutMs: 4_000 })).toMatch(/^web/);
    expect(await agents().far.dial(address6, 8080, { timeoutMs: 2_000 })).toBe('timeout');
  });

  it('neighbours of IPv6 find each other, whoever is isolated', async () => {
    const db6 = lab.pods[0]![1]!.address6;
    const forget = () => {
      for (const { namespace } of lab.pods[0]!)
        execFileSync('ip', ['-n', namespace, '-6', 'neighbour', 'flush', 'all']);
    };
    const isolated = { ...only('web'), policyTypes: ['Ingress', 'Egress'] };
    await enforce({ ...isolated, egress: [{ to: [only('db')], ports: [{ port: 8080 }] }] });
    forget();
    expect(await agents().web.dial(db6, 8080, { timeoutMs: 10_000 })).toMatch(/^db/);
    expect(await agents().web.dial(db6, 9090, { timeoutMs: 400 })).toBe('timeout');
    await enforce({ ...isolated, ingress: [{ from: [only('db')], ports: [{ port: 8080 }] }] });
    forget();
    expect(await agents().db.dial(lab.pods[0]![0]!.address6, 8080, { timeoutMs: 10_000 })).toMatch(/^web/);
  });

  it('the last policy gone, nothing is left', async () => {
    await enforce();
    await expect.poll(() => reaching(web)).toEqual(OPEN);
    expect(await ruleset()).not.toContain('coracle-policy');
    await removePolicyTables(exec);
  });
});
