import type { KubeClient } from '#api/client/client.ts';
import { type Node, type Pod, resources, type Service } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { createKubelet, type Kubelet } from '../kubelet.ts';
import { KUBELET_DEFAULTS, type KubeletConfig } from '../kubelet-config.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import type { ProbeResult, Prober } from '../prober.ts';

/** Sockets that answer as a test says. */
export class FakeProber implements Prober {
  answer: ProbeResult = { ok: true, message: '' };
  readonly asked: string[] = [];

  async http({ scheme, host, port, path }: Parameters<Prober['http']>[0]): Promise<ProbeResult> {
    this.asked.push(`${scheme}://${host}:${port}${path}`);
    return this.answer;
  }

  async grpc({ host, port, service }: Parameters<Prober['grpc']>[0]): Promise<ProbeResult> {
    this.asked.push(`grpc://${host}:${port}/${service}`);
    return this.answer;
  }

  async tcp(host: string, port: number): Promise<ProbeResult> {
    this.asked.push(`tcp://${host}:${port}`);
    return this.answer;
  }
}

/** Where the node under test looks for manifests. */
export const STATIC_PODS = '/etc/coracle/manifests';

export const TEST_IMAGE = 'docker.io/library/app:1';

/** A kubelet on fakes: runtime, host, API and clock in memory. */
export class KubeletRig {
  readonly clock = new FakeClock();
  readonly cluster = new MemoryCluster(this.clock);
  readonly runtime = new FakeRuntime({ clock: this.clock, images: [TEST_IMAGE] });
  readonly host = new FakeHost();
  readonly prober = new FakeProber();
  readonly client: KubeClient = this.cluster.client();
  /** Stands between the kubelet and each call of the runtime; `proceed` lets it happen. */
  onCall: ((method: string, proceed: () => Promise<unknown>) => Promise<unknown>) | undefined;
  /** The node cannot reach the API; tests still can. */
  isApiDown = false;
  readonly podCidrs: (readonly string[])[] = [];
  kubelet: Kubelet;
  #stop = new AbortController();

  readonly #overrides: Partial<KubeletConfig>;

  readonly #parts: Pick<KubeletDeps, 'draDrivers'>;

  constructor(overrides: Partial<KubeletConfig> = {}, parts: Pick<KubeletDeps, 'draDrivers'> = {}) {
    this.#overrides = overrides;
    this.#parts = parts;
    this.kubelet = this.#create();
  }

  /** Starts while the API is down: resolves when the kubelet goes on without it. */
  startOffline(): void {
    this.kubelet = this.#create();
    this.kubelet.start(this.#stop.signal).catch(() => undefined);
  }

  /** As a power cut: the agent and all processes end, what was in memory and all mounts are gone, the boot is another one. */
  async powerCut(): Promise<void> {
    this.#stop.abort();
    await this.settle();
    this.#stop = new AbortController();
    for (const { id } of [...this.runtime.sandboxes.values()]) this.runtime.killSandbox(id);
    this.host.mounts.points.splice(0);
    await this.host.fs.remove('/run');
    this.host.factsValue = { ...this.host.factsValue, bootId: `${this.host.factsValue.bootId}+` };
  }

  async start(): Promise<void> {
    const ready = this.kubelet.start(this.#stop.signal);
    let isReady = false;
    void ready.then(() => {
      isReady = true;
    });
    for (let turn = 0; turn < 200 && !isReady; turn++) await this.settle(1);
    await ready;
  }

  /** As kill -9 and a new start: nothing but what is in runtime, host and API survives. */
  async restart(whileDown: () => void | Promise<void> = () => undefined): Promise<void> {
    this.#stop.abort();
    await this.settle();
    await whileDown();
    this.#stop = new AbortController();
    this.kubelet = this.#create();
    await this.start();
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Lets promise chains run to where they wait for the clock. */
  async settle(turns = 60): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async advance(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await this.settle();
  }

  async createPod(spec: Partial<NonNullable<Pod['spec']>> = {}, name = 'web'): Promise<Pod> {
    const pod = await this.client.resource<Pod>(resources.pods).create({
      metadata: { name, namespace: 'default' },
      spec: { nodeName: 'node-1', containers: [{ name: 'app', image: TEST_IMAGE }], ...spec },
      status: { phase: 'Pending' },
    });
    await this.settle();
    return pod;
  }

  /** The pod as the API has it now. */
  pod(name = 'web'): Pod | undefined {
    return this.cluster.objectsOf(resources.pods).get(objectKey('default', name)) as unknown as Pod | undefined;
  }

  containerStatus(container = 'app', name = 'web') {
    const status = this.pod(name)?.status;
    return [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].find(
      (candidate) => candidate.name === container,
    );
  }

  condition(type: string, name = 'web') {
    return this.pod(name)?.status?.conditions?.find((condition) => condition.type === type);
  }

  /** Of the node itself. */
  nodeCondition(type: string) {
    const node = this.cluster.objectsOf(resources.nodes).get(objectKey(undefined, 'node-1')) as unknown as Node;
    return node.status?.conditions?.find((condition) => condition.type === type);
  }

  /** `reason: message` of all Events so far. */
  eventTexts(): string[] {
    return [...this.cluster.objectsOf(resources.events).values()].map((event) => `${event.reason}: ${event.message}`);
  }

  /** The same once nothing is being started any more, which Events wait for. */
  async eventTextsInTheEnd(): Promise<string[]> {
    await this.advance(1000);
    return this.eventTexts();
  }

  keys(info: (typeof resources)[keyof typeof resources]): ObjectKey[] {
    return [...this.cluster.objectsOf(info).keys()];
  }

  async createService(name: string, namespace: string, clusterIP: string, port: number): Promise<void> {
    await this.client
      .resource<Service>(resources.services)
      .create({ metadata: { name, namespace }, spec: { clusterIP, ports: [{ port }] } });
  }

  #create(): Kubelet {
    const config: KubeletConfig = {
      ...KUBELET_DEFAULTS,
      nodeName: 'node-1',
      nodeIps: ['192.168.1.10'],
      ledgerDir: '/var/lib/coracle/agent/ledger',
      version: 'v1.36.0+test',
      staticPodDir: STATIC_PODS,
      ...this.#overrides,
    };
    const { host, prober, clock } = this;
    const runtime = interceptCalls(this.runtime, () => this.onCall);
    const client = cutOff(this.client, () => this.isApiDown);
    const onPodCidrs = (cidrs: readonly string[]) => this.podCidrs.push(cidrs);
    const random = () => 0.5;
    const parts = { client, runtime, host, prober, clock, log: silentLogger, random, config, onPodCidrs };
    return createKubelet({ ...parts, ...this.#parts });
  }
}

/** The client as a node sees it whose network is down at times. */
function cutOff(client: KubeClient, isDown: () => boolean): KubeClient {
  const check = () => {
    if (isDown()) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  };
  const guard = <R extends object>(resource: R): R =>
    new Proxy(resource, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (key === 'watch')
          return async function* (...args: unknown[]) {
            check();
            for await (const event of Reflect.apply(value, target, args)) {
              check();
              yield event;
            }
          };
        return async (...args: unknown[]) => {
          check();
          return Reflect.apply(value, target, args);
        };
      },
    });
  return {
    resource: (info) => guard(client.resource(info)) as never,
    metadata: (info) => guard(client.metadata(info)),
    raw: async (request) => {
      check();
      return client.raw(request);
    },
  };
}

function interceptCalls(runtime: FakeRuntime, onCall: () => KubeletRig['onCall']): FakeRuntime {
  return new Proxy(runtime, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const proceed = (): Promise<unknown> => Reflect.apply(value, target, args) as Promise<unknown>;
        return onCall()?.(String(key), proceed) ?? proceed();
      };
    },
  });
}
