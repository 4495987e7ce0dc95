/**
 * Deploys the sample workload (a Deployment of two busybox web servers and a Service), waits until the Service answers on this host and
 * prints its address.
 * usage: sample.ts <kubeconfig> [<containerd socket>]
 */
import { readFileSync } from 'node:fs';
import type { KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { isAlreadyExists } from '#api/object/api-error.ts';
import {
  type Event as CoreEvent,
  type Deployment,
  type Node,
  type Pod,
  resources,
  type Service,
} from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { describeError } from '#base/errors.ts';
import { readPage } from './read-page.ts';
import { importSampleImage, SAMPLE_IMAGE } from './sample-image.ts';
import { waitFor } from './wait-for.ts';

const NAMESPACE = 'default';
const NAME = 'sample';
const PORT = 80;

const [kubeconfigPath = '/etc/coracle/admin.kubeconfig', socket = '/run/coracle/containerd.sock'] =
  process.argv.slice(2);

async function ensure<T extends Stored<object>>(
  client: KubeClient,
  info: (typeof resources)[keyof typeof resources],
  draft: { metadata: { name: string; namespace: string } },
) {
  try {
    await client.resource<T>(info).create(draft as never);
  } catch (err) {
    if (!isAlreadyExists(err)) throw err;
  }
}

/** What stands between the pods and an answer, for whoever reads the failure: their states, and what has been complained about. */
async function describePods(): Promise<string> {
  const { items: pods } = await client.resource<Pod>(resources.pods).fetchList({ namespace: NAMESPACE });
  const { items: events } = await client.resource<CoreEvent>(resources.events).fetchList({ namespace: NAMESPACE });
  const states = pods.map(({ metadata, spec, status }) => {
    const conditions = status?.conditions?.map((condition) => `${condition.type}=${condition.status}`).join(' ');
    const containers = status?.containerStatuses
      ?.map(({ name, state }) => `${name}: ${JSON.stringify(state)}`)
      .join(' ');
    return `${metadata.name} on ${spec?.nodeName ?? 'no node'}: ${status?.phase} ${conditions} ${containers ?? ''}`;
  });
  const complaints = events
    .filter(({ type }) => type === 'Warning')
    .map(({ involvedObject, reason, message }) => `${involvedObject?.name}: ${reason}: ${message}`);
  return [...(pods.length === 0 ? ['no pod was made'] : states), ...new Set(complaints)].join('\n');
}

const labels = { app: NAME };

const deployment = {
  metadata: { name: NAME, namespace: NAMESPACE, labels },
  spec: {
    replicas: 2,
    selector: { matchLabels: labels },
    template: {
      metadata: { labels },
      spec: {
        // As process 1 httpd has no handler for SIGTERM, and the kernel then gives it none of its default effects.
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'web',
            image: SAMPLE_IMAGE,
            command: ['sh', '-c', 'echo "Hello from $(hostname)" > /tmp/index.html && exec httpd -f -p 80 -h /tmp'],
            ports: [{ containerPort: PORT }],
            readinessProbe: { httpGet: { path: '/', port: PORT }, periodSeconds: 1 },
            resources: { requests: { cpu: '10m', memory: '16Mi' }, limits: { memory: '64Mi' } },
          },
        ],
      },
    },
  },
};

const service = {
  metadata: { name: NAME, namespace: NAMESPACE, labels },
  spec: { selector: labels, ports: [{ port: PORT, targetPort: PORT }] },
};

// The clock's timers do not keep a process alive.
setInterval(() => {}, 2 ** 30);

const access = parseKubeconfig(readFileSync(kubeconfigPath, 'utf8'));
const transport = createKubeconfigTransport(access, 'coracle-sample');
const client = createKubeClient(transport);

try {
  await waitFor('the node becoming ready', async () => {
    const { items } = await client.resource<Node>(resources.nodes).fetchList();
    return items.find((node) => node.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
  });
  await importSampleImage(socket);
  await ensure<Deployment>(client, resources.deployments, deployment);
  await ensure<Service>(client, resources.services, service);
  const { spec } = await client.resource<Service>(resources.services).fetch(NAME, NAMESPACE);
  const url = `http://${spec?.clusterIP}:${PORT}/`;
  const answer = await waitFor(`an answer from ${url}`, () => readPage(url));
  console.log(`The sample Service answers "${answer}" at ${url}`);
  console.log(`sudo kubectl --kubeconfig ${kubeconfigPath} get pods`);
} catch (err) {
  console.error(`sample: ${describeError(err)}`);
  console.error(await describePods().catch((cause: unknown) => `its pods cannot be listed: ${describeError(cause)}`));
  process.exitCode = 1;
}
process.exit();
