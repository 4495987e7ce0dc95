import { MessageChannel } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createPortConnection } from '#api/client/port-transport.ts';
import {
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  type Endpoints,
  type Namespace,
  type Node,
  type Pod,
  type ReplicaSet,
  type ResourceClaim,
  type ResourceClaimTemplate,
  resources,
  type Service,
  type ServiceAccount,
} from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { createLogger } from '#base/logger.ts';
import type { AdmissionPlugin } from '#controller/apiserver/admission/admission-plugin.ts';
import { namespaceLifecycle } from '#controller/apiserver/admission/namespace-lifecycle.ts';
import { createComponentAuthenticator } from '#controller/apiserver/authenticate/component.ts';
import { ensureBootstrapPolicy } from '#controller/apiserver/authorize/ensure-bootstrap-policy.ts';
import { createRbacAuthorizer } from '#controller/apiserver/authorize/rbac-authorizer.ts';
import { createUnionAuthorizer, superuserAuthorizer } from '#controller/apiserver/authorize/union-authorizer.ts';
import { createAuthenticateFilter } from '#controller/apiserver/chain/filters/authenticate.ts';
import { createAuthorizeFilter } from '#controller/apiserver/chain/filters/authorize.ts';
import type { Filter } from '#controller/apiserver/chain/request-context.ts';
import { SecurityMetrics } from '#controller/apiserver/metrics/security-metrics.ts';
import { builtinResources } from '#controller/apiserver/resources/builtin-resources.ts';
import { servePort } from '#controller/apiserver/server/port-adapter.ts';
import { createTestServer } from '#controller/apiserver/server/testing/test-server.ts';
import { DEFAULT_CONTROLLERS_CONFIG } from '#controller/controllers/controller-context.ts';
import { controllerUsers, startControllers } from '#controller/controllers/start-controllers.ts';

/** The one identity that needs no role. */
const ADMIN = 'system:apiserver';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Denial {
  readonly user: string;
  readonly what: string;
}

/** All built-in kinds behind RBAC with the default roles. */
function createServer(denials: Denial[]) {
  let authorize: Filter | undefined;
  const late: Filter = { name: 'authorize', run: (context, next) => authorize!.run(context, next) };
  let lifecycle: AdmissionPlugin | undefined;
  // A namespace that goes is emptied pods first, which ends only where nobody can make new ones.
  const lateLifecycle: AdmissionPlugin = {
    name: 'NamespaceLifecycle',
    handles: (request) => lifecycle!.handles(request),
    admit: (request) => lifecycle!.admit?.(request),
  };
  const metrics = new SecurityMetrics();
  const { server, store } = createTestServer({
    definitions: builtinResources({
      podSubresources: [],
      nodeSubresources: [],
      serviceSubresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
      nowMs: () => Date.now(),
      random: Math.random,
    }),
    filters: [
      createAuthenticateFilter({ authenticators: [createComponentAuthenticator()], clock: systemClock, metrics }),
      late,
    ],
    admission: [lateLifecycle],
  });
  lifecycle = namespaceLifecycle({ store });
  const rbac = createRbacAuthorizer(store);
  const union = createUnionAuthorizer([superuserAuthorizer, rbac]);
  authorize = createAuthorizeFilter({
    metrics,
    authorizer: {
      name: 'recording',
      authorize(attributes) {
        const answer = union.authorize(attributes);
        if (answer.decision !== 'allow') {
          const { verb, resource, subresource } = attributes;
          denials.push({ user: attributes.user.name, what: `${verb} ${resource}${subresource && `/${subresource}`}` });
        }
        return answer;
      },
    },
  });
  return { server, stop: () => rbac.stop() };
}

/** All controllers against the real API server over a MessagePort, each as itself, as in the controller process. */
async function setUp() {
  const denials: Denial[] = [];
  const { server, stop } = createServer(denials);
  const { port1, port2 } = new MessageChannel();
  const users = new Set([ADMIN, ...controllerUsers(undefined)]);
  cleanups.push(
    servePort(port1, { handler: (request, response) => server.handle(request, response), components: users }),
  );
  const connection = createPortConnection(port2);
  const abort = new AbortController();
  cleanups.push(
    stop,
    () => connection.close(),
    () => abort.abort(),
  );
  const log = createLogger('controllers', 'warn');
  const clientFor = (user: string) => createKubeClient(connection.transportFor(user));
  const client = clientFor(ADMIN);
  const namespaces = client.resource<Namespace>(resources.namespaces);
  await namespaces.create({ metadata: { name: 'kube-system' } });
  await ensureBootstrapPolicy(client);
  const running = startControllers(
    {
      clientFor,
      clock: systemClock,
      log,
      random: Math.random,
      config: { ...DEFAULT_CONTROLLERS_CONFIG, rootCa: 'PEM' },
      signer: undefined,
    },
    abort.signal,
  );
  running.catch((err: unknown) => log.error('controllers ended', { err }));
  const of = {
    namespaces,
    nodes: client.resource<Node>(resources.nodes),
    pods: client.resource<Pod>(resources.pods),
    deployments: client.resource<Deployment>(resources.deployments),
    replicaSets: client.resource<ReplicaSet>(resources.replicaSets),
    services: client.resource<Service>(resources.services),
    slices: client.resource<EndpointSlice>(resources.endpointSlices),
    endpoints: client.resource<Endpoints>(resources.endpoints),
    accounts: client.resource<ServiceAccount>(resources.serviceAccounts),
    configMaps: client.resource<ConfigMap>(resources.configMaps),
    claims: client.resource<ResourceClaim>(resources.resourceClaims),
    claimTemplates: client.resource<ResourceClaimTemplate>(resources.resourceClaimTemplates),
  };
  await of.namespaces.create({ metadata: { name: 'shop' } });
  return { denials, of };
}

type Clients = Awaited<ReturnType<typeof setUp>>['of'];

const labels = { app: 'web' };
const template = (image: string) => ({
  metadata: { labels },
  spec: { containers: [{ name: 'c', image, ports: [{ name: 'http', containerPort: 8080 }] }] },
});

function createDeployment({ deployments }: Clients, replicas: number) {
  return deployments.create({
    metadata: { name: 'web', namespace: 'shop' },
    spec: { replicas, selector: { matchLabels: labels }, template: template('v1') },
  });
}

/** Plays the kubelet: every pod runs and is ready. */
async function runPods({ pods }: Clients) {
  for (const [index, pod] of (await pods.fetchList({ namespace: 'shop' })).items.entries()) {
    if (pod.status?.phase === 'Running' || pod.metadata.deletionTimestamp !== undefined) continue;
    const ip = `10.244.0.${10 + index}`;
    const lastTransitionTime = pod.metadata.creationTimestamp;
    const status = {
      phase: 'Running',
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime }],
    };
    const { name, namespace } = pod.metadata;
    await pods.patch({ name, namespace, type: 'merge', subresource: 'status', patch: { status } });
  }
}

const soon = { timeout: 60_000, interval: 20 };

describe('controllers on the real API server', () => {
  it('roll a Deployment out and over, behind a Service, until everything is deleted', async () => {
    const { denials, of } = await setUp();
    await createDeployment(of, 3);
    await of.services.create({
      metadata: { name: 'web', namespace: 'shop' },
      spec: { selector: labels, ports: [{ port: 80, targetPort: 'http' }] },
    });
    const fetch = () => of.deployments.fetch('web', 'shop');
    const isComplete = async () => {
      await runPods(of);
      const { metadata, status } = await fetch();
      const { updatedReplicas, availableReplicas, replicas, observedGeneration } = status ?? {};
      return [observedGeneration === metadata.generation, replicas, updatedReplicas, availableReplicas];
    };
    await expect.poll(isComplete, soon).toEqual([true, 3, 3, 3]);
    expect((await fetch()).metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '1' });
    const addresses = async () => {
      const slices = (await of.slices.fetchList({ namespace: 'shop' })).items;
      return slices.flatMap(({ endpoints }) => endpoints ?? []).filter(({ conditions }) => conditions?.ready).length;
    };
    await expect.poll(addresses, soon).toBe(3);
    await expect
      .poll(async () => (await of.endpoints.fetch('web', 'shop')).subsets?.[0]?.addresses?.length, soon)
      .toBe(3);

    await of.deployments.patch({
      name: 'web',
      namespace: 'shop',
      type: 'strategic',
      patch: { spec: { template: { spec: { containers: [{ name: 'c', image: 'v2' }] } } } },
    });
    await expect.poll(isComplete, soon).toEqual([true, 3, 3, 3]);
    expect((await fetch()).metadata.annotations).toMatchObject({ 'deployment.kubernetes.io/revision': '2' });
    expect(
      (await of.replicaSets.fetchList({ namespace: 'shop' })).items.map((set) => set.spec?.replicas).sort(),
    ).toEqual([0, 3]);

    await of.deployments.delete({ name: 'web', namespace: 'shop' });
    await expect.poll(async () => (await of.replicaSets.fetchList({ namespace: 'shop' })).items.length, soon).toBe(0);
    await expect.poll(async () => (await of.pods.fetchList({ namespace: 'shop' })).items.length, soon).toBe(0);
    expect(denials).toEqual([]);
  });

  it('give every namespace its account and CA, and empty it when it goes', async () => {
    const { denials, of } = await setUp();
    await expect
      .poll(
        async () => (await of.accounts.fetchList({ namespace: 'shop' })).items.map(({ metadata }) => metadata.name),
        soon,
      )
      .toEqual(['default']);
    await expect
      .poll(async () => (await of.configMaps.fetchList({ namespace: 'shop' })).items.map(({ data }) => data), soon)
      .toEqual([{ 'ca.crt': 'PEM' }]);
    await createDeployment(of, 2);
    await expect.poll(async () => (await of.pods.fetchList({ namespace: 'shop' })).items.length, soon).toBe(2);
    await of.namespaces.delete({ name: 'shop' });
    await expect
      .poll(async () => (await of.namespaces.fetchList()).items.map(({ metadata }) => metadata.name), soon)
      .toEqual(['kube-system']);
    expect((await of.configMaps.fetchList({ namespace: 'shop' })).items).toEqual([]);
    expect(denials).toEqual([]);
  });

  it('give nodes their pod networks and taint those that do not report', async () => {
    const { denials, of } = await setUp();
    for (const name of ['a', 'b']) await of.nodes.create({ metadata: { name } });
    const cidrs = async () => (await of.nodes.fetchList()).items.map(({ spec }) => spec?.podCIDR).sort();
    await expect.poll(cidrs, soon).toEqual(['10.244.0.0/24', '10.244.1.0/24']);
    const taints = async () => (await of.nodes.fetchList()).items.map(({ spec }) => spec?.taints?.[0]?.key);
    await expect.poll(taints, soon).toEqual(['node.kubernetes.io/unreachable', 'node.kubernetes.io/unreachable']);
    expect(denials).toEqual([]);
  });

  it('make the claim of a template, and give its devices back when its pod has ended', async () => {
    const { denials, of } = await setUp();
    const requests = [{ name: 'r', exactly: { deviceClassName: 'c' } }];
    const metadata = { name: 't', namespace: 'shop' };
    await of.claimTemplates.create({ metadata, spec: { spec: { devices: { requests } } } });
    const resourceClaims = [{ name: 'card', resourceClaimTemplateName: 't' }];
    const spec = { nodeName: 'somewhere', resourceClaims, containers: [{ name: 'c', image: 'v1' }] };
    const pod = await of.pods.create({ metadata: { name: 'web', namespace: 'shop' }, spec });
    const statuses = async () => (await of.pods.fetch('web', 'shop')).status?.resourceClaimStatuses;
    await expect
      .poll(statuses, soon)
      .toEqual([{ name: 'card', resourceClaimName: expect.stringMatching(/^web-card-/) }]);
    const name = (await statuses())?.[0]?.resourceClaimName ?? '';
    // As the scheduler does it, but for the reservation, which is made here for pods that were placed by hand.
    const made = await of.claims.fetch(name, 'shop');
    const finalizers = ['resource.kubernetes.io/delete-protection'];
    const held = await of.claims.update({ ...made, metadata: { ...made.metadata, finalizers } });
    const results = [{ request: 'r', driver: 'd.example.com', pool: 'p', device: 'x' }];
    await of.claims.update({ ...held, status: { allocation: { devices: { results } } } }, 'status');
    const users = async () => (await of.claims.fetch(name, 'shop')).status?.reservedFor?.map(({ uid }) => uid);
    await expect.poll(users, soon).toEqual([pod.metadata.uid]);
    const patch = { status: { phase: 'Succeeded' } };
    await of.pods.patch({ name: 'web', namespace: 'shop', type: 'merge', subresource: 'status', patch });
    await expect.poll(async () => (await of.claims.fetchList({ namespace: 'shop' })).items, soon).toEqual([]);
    expect(denials).toEqual([]);
  });

  it('hold an owner in foreground deletion until its dependents are gone', async () => {
    const { denials, of } = await setUp();
    await createDeployment(of, 2);
    await expect.poll(async () => (await of.pods.fetchList({ namespace: 'shop' })).items.length, soon).toBe(2);
    await of.deployments.delete({ name: 'web', namespace: 'shop', propagationPolicy: 'Foreground' });
    await expect.poll(async () => (await of.deployments.fetchList({ namespace: 'shop' })).items.length, soon).toBe(0);
    expect((await of.pods.fetchList({ namespace: 'shop' })).items).toEqual([]);
    expect((await of.replicaSets.fetchList({ namespace: 'shop' })).items).toEqual([]);
    expect(denials).toEqual([]);
  });

  it('leave orphans behind when asked to', async () => {
    const { denials, of } = await setUp();
    await createDeployment(of, 1);
    await expect.poll(async () => (await of.pods.fetchList({ namespace: 'shop' })).items.length, soon).toBe(1);
    await of.deployments.delete({ name: 'web', namespace: 'shop', propagationPolicy: 'Orphan' });
    await expect.poll(async () => (await of.deployments.fetchList({ namespace: 'shop' })).items.length, soon).toBe(0);
    const [set] = (await of.replicaSets.fetchList({ namespace: 'shop' })).items;
    expect(set?.metadata.ownerReferences ?? []).toEqual([]);
    expect(denials).toEqual([]);
  });
});
