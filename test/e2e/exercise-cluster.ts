import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import type { TestCluster } from '#test/kit/cluster.ts';
import { claims, deviceClaims } from './exercise-claims.ts';
import { configMap, deployment, type Hands, handsOf, pod, readerSpec, STAYS, secret } from './exercise-objects.ts';

/**
 * Brings the cluster into the situations that its components are there for, and returns when each has dealt with them. Ends with node-1
 * dead and its pod `reader-1`, of the ServiceAccount, ConfigMap and Secret of the same name, still bound to it.
 */
export async function exerciseCluster(cluster: TestCluster): Promise<void> {
  const hands = handsOf(cluster);
  await Promise.all([
    podOfNoNode(hands),
    workloads(hands).then(() => lossOfNode(cluster, hands)),
    readers(hands),
    namespaces(hands),
    owners(hands),
    endpoints(hands),
    expiredToken(hands),
    aggregatedRole(hands),
    clientCertificate(hands),
    quotas(hands),
    claims(hands),
    deviceClaims(hands),
    tokenSecret(hands),
    networkPolicy(hands),
    disruptionBudget(hands),
  ]);
}

/** Its node never was: the pod garbage collector waits 40 s before it believes that. */
async function podOfNoNode({ apply, ok }: Hands): Promise<void> {
  await apply(pod('lost', { nodeName: 'nowhere' }));
  await ok('wait --for=delete pod/lost --timeout=150s');
}

async function readers({ apply, ok }: Hands): Promise<void> {
  for (const index of [0, 1]) {
    const name = `reader-${index}`;
    const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
    // Stays bound to its node when that is lost.
    const tolerations = [{ operator: 'Exists' }];
    const spec = { ...readerSpec(name), tolerations, serviceAccountName: name, nodeName: `node-${index}` };
    await apply(account, configMap(name), secret(name), pod(name, spec));
  }
  await ok('wait --for=condition=Ready pod/reader-0 pod/reader-1 --timeout=150s');
  await ok('logs reader-0');
  await ok('exec reader-0 -- true');
}

async function workloads({ apply, ok, until }: Hands): Promise<void> {
  await apply(deployment('web', 2), pod('unschedulable', { nodeSelector: { disk: 'golden' } }));
  await ok('expose deployment web --port=80');
  await ok('rollout status deployment/web --timeout=150s');
  await ok('scale deployment/web --replicas=3');
  await ok('rollout status deployment/web --timeout=150s');
  await ok('set env deployment/web A=1');
  await ok('rollout status deployment/web --timeout=150s');
  await until('the old ReplicaSet to be deleted', 'get replicasets -l app=web -o name', /^\S+\n$/);
  // A pod that its ReplicaSet lets go, and takes back.
  const name = (await ok('get pods -l app=web -o name')).split('\n')[0]!;
  await ok(`label ${name} app=other --overwrite`);
  await until('the release', `get ${name} -o jsonpath={.metadata.ownerReferences}`, /^$/);
  await ok(`label ${name} app=web --overwrite`);
  // The same for ReplicaSets of a Deployment.
  await ok('delete deployment web --cascade=orphan');
  await apply(deployment('web', 2));
  await until(
    'adoption',
    'get replicasets -l app=web -o jsonpath={.items[*].metadata.ownerReferences[*].kind}',
    /^Dep/,
  );
  await apply(surplusSlice('web'));
  await ok('wait --for=delete endpointslice/surplus --timeout=150s');
  await ok('delete service web');
  await ok('delete deployment web --cascade=foreground');
  await ok('delete pod unschedulable');
}

/** One that the endpoint slice controller thinks its own and has no use for. When the Service goes, others may be first to delete. */
const surplusSlice = (service: string) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: 'surplus',
    labels: {
      'kubernetes.io/service-name': service,
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    },
  },
  addressType: 'IPv4',
  endpoints: [],
  ports: [{ name: 'surplus', port: 1 }],
});

async function namespaces({ apply, ok, until }: Hands): Promise<void> {
  await ok('create namespace short');
  await until('its ServiceAccount', 'get serviceaccounts -n short -o name', /default/);
  await apply(configMap('inside', { namespace: 'short' }), pod('inside', STAYS, { namespace: 'short' }));
  await ok('wait -n short --for=condition=Ready pod/inside --timeout=150s');
  // What holds it up stands in its conditions.
  await apply(configMap('held', { namespace: 'short', finalizers: ['example.com/hold'] }));
  await ok('delete namespace short --wait=false');
  await until('the conditions', 'get namespace short -o jsonpath={.status.conditions[*].type}', /FinalizersRemaining/);
  await ok('patch configmap held -n short --type=json -p [{"op":"remove","path":"/metadata/finalizers"}]');
  await ok('wait --for=delete namespace/short --timeout=150s');
  await ok('patch configmap kube-root-ca.crt --type=merge -p {"data":{"ca.crt":"broken"}}');
  await until('its repair', 'get configmap kube-root-ca.crt -o jsonpath={.data}', /BEGIN CERTIFICATE/);
}

async function owners({ apply, ok, until }: Hands): Promise<void> {
  const gone = (uid: string) => [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'gone', uid }];
  const orphan = { ownerReferences: gone('3e6ff5b4-3a5c-4c8e-9a39-4f0b0b0c9b11') };
  const impossible = { name: 'impossible', ownerReferences: gone('3e6ff5b4-3a5c-4c8e-9a39-4f0b0b0c9b22') };
  await apply(configMap('orphan', orphan), { apiVersion: 'v1', kind: 'Namespace', metadata: impossible });
  await ok('wait --for=delete configmap/orphan --timeout=150s');
  await until('the complaint', 'get events -A', /OwnerRefInvalidNamespace/);
}

async function endpoints({ apply, until }: Hands): Promise<void> {
  const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'outside' }, spec: { ports: [{ port: 80 }] } };
  const manual = (...ips: readonly string[]) => ({
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { name: 'outside' },
    subsets: ips.map((ip) => ({ addresses: [{ ip }], ports: [{ port: 80 }] })),
  });
  const slices = 'get endpointslices -l kubernetes.io/service-name=outside -o jsonpath={.items[*].endpoints}';
  await apply(service, manual('192.0.2.1'));
  await until('the mirrored slice', slices, /192\.0\.2\.1/);
  await apply(manual('192.0.2.2'));
  await until('the changed slice', slices, /192\.0\.2\.2/);
  // Not deleted: the garbage collector might be faster than the mirror.
  await apply(manual());
  await until('the slice to go', slices, /^$/);
}

async function expiredToken({ apply, ok }: Hands): Promise<void> {
  const stringData = {
    'token-id': 'abcdef',
    'token-secret': '0123456789abcdef',
    expiration: new Date(Date.now() + 5_000).toISOString().replace(/\.\d+Z$/, 'Z'),
  };
  const metadata = { name: 'bootstrap-token-abcdef', namespace: 'kube-system' };
  await apply({ apiVersion: 'v1', kind: 'Secret', type: 'bootstrap.kubernetes.io/token', metadata, stringData });
  await ok('wait -n kube-system --for=delete secret/bootstrap-token-abcdef --timeout=150s');
}

async function quotas({ ok, until }: Hands): Promise<void> {
  await ok('create namespace bounded');
  await ok('create quota few -n bounded --hard=configmaps=5');
  await until('the count', 'get quota few -n bounded -o jsonpath={.status.used.configmaps}', /\d/);
}

/** Comes to each node of isolated pods, changes with them, and goes. */
async function networkPolicy({ apply, ok, until }: Hands): Promise<void> {
  const metadata = { name: 'isolated' };
  const policy = (policyTypes: readonly string[]) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: { podSelector: { matchLabels: { app: 'isolated' } }, policyTypes },
  });
  await apply(policy(['Ingress']), pod('isolated', {}, { labels: { app: 'isolated' } }));
  const compiled = 'get configmaps -n kube-system -l coracle.dev/network-policy -o yaml';
  await until('the policy on its way to the node', compiled, /ingress/);
  await apply(policy(['Ingress', 'Egress']));
  await until('the change on its way', compiled, /egress/);
  await ok('delete networkpolicy isolated');
  await until('the end of the policy', compiled, /items: \[\]/);
  await ok('delete pod isolated --wait=false');
}

async function disruptionBudget({ ok, until }: Hands): Promise<void> {
  await ok('create poddisruptionbudget few --selector=app=budgeted --min-available=1');
  await until('the count', 'get poddisruptionbudget few -o jsonpath={.status.observedGeneration}', /1/);
}

async function tokenSecret({ apply, ok, until }: Hands): Promise<void> {
  const metadata = { name: 'old', annotations: { 'kubernetes.io/service-account.name': 'old' } };
  await apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'old' } },
    { apiVersion: 'v1', kind: 'Secret', type: 'kubernetes.io/service-account-token', metadata },
  );
  await until('the token', 'get secret old -o jsonpath={.data.token}', /./);
  await ok('delete serviceaccount old');
  await ok('wait --for=delete secret/old --timeout=150s');
}

/** Approved by a person, signed by us. */
async function clientCertificate({ apply, ok, until }: Hands): Promise<void> {
  const { privateKey } = await generateKey();
  const pem = await renderSigningRequest(privateKey, { commonName: 'jane', organizations: [] });
  await apply({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: { name: 'jane' },
    spec: {
      signerName: 'kubernetes.io/kube-apiserver-client',
      request: Buffer.from(pem).toString('base64'),
      usages: ['client auth'],
    },
  });
  await ok('certificate approve jane');
  await until('the certificate', 'get csr jane -o jsonpath={.status.certificate}', /./);
}

async function aggregatedRole({ apply, until }: Hands): Promise<void> {
  const labels = { 'rbac.authorization.k8s.io/aggregate-to-view': 'true' };
  const rules = [{ apiGroups: ['example.com'], resources: ['boats'], verbs: ['get'] }];
  await apply({
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name: 'boats', labels },
    rules,
  });
  await until('the rule to arrive in admin', 'get clusterrole admin -o yaml', /boats/);
}

async function lossOfNode(cluster: TestCluster, { apply, ok, until }: Hands): Promise<void> {
  await apply(
    pod('evicted', {
      nodeName: 'node-1',
      tolerations: [
        { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 1 },
      ],
    }),
  );
  await ok('wait --for=condition=Ready pod/reader-1 pod/evicted --timeout=150s');
  await cluster.agents[1]!.kill();
  await until('node-1 to be lost', 'get node node-1 -o jsonpath={.spec.taints[*].effect}', /NoExecute/);
  await until('the eviction', 'get pod evicted -o jsonpath={.metadata.deletionTimestamp}', /./);
}
