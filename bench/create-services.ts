import { readFileSync } from 'node:fs';
import { oneOfMany } from '#agent/proxy/testing/many-services.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type EndpointSlice, resources, type Service } from '#api/object/kinds.ts';

/** Told of after all others, so when its rules stand, theirs do. */
export const LAST_SERVICE = 'last';
export const LAST_SERVICE_IP = '10.96.0.200';

const NAMESPACE = 'bench';
const AT_ONCE = 32;

/** `kubeconfig count`: so many Services of two endpoints each, which somebody else keeps, then the last. */
async function createServices([kubeconfig = '', count = '']: readonly string[]): Promise<void> {
  const client = createKubeClient(
    createKubeconfigTransport(parseKubeconfig(readFileSync(kubeconfig, 'utf8')), 'bench'),
  );
  const services = client.resource<Service>(resources.services);
  const slices = client.resource<EndpointSlice>(resources.endpointSlices);
  const create = async (name: string, index: number, clusterIP?: string) => {
    const { slice } = oneOfMany(index, 2);
    await services.create({
      metadata: { name, namespace: NAMESPACE },
      spec: { ports: [{ name: 'http', port: 80 }], ...(clusterIP === undefined ? {} : { clusterIP }) },
    });
    await slices.create({
      metadata: { name, namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: slice.ports ?? [],
      endpoints: (slice.endpoints ?? []).map(({ addresses, conditions }) => ({
        addresses,
        conditions: conditions ?? {},
      })),
    });
  };
  await client.resource(resources.namespaces).create({ metadata: { name: NAMESPACE } });
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < Number(count); index = next++) await create(`s${index}`, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await create(LAST_SERVICE, Number(count), LAST_SERVICE_IP);
}

if (import.meta.main) {
  await createServices(process.argv.slice(2));
  process.exit();
}
