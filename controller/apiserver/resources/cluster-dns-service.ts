import type { KubeClient } from '#api/client/client.ts';
import { addressAt, parseCidr } from '#api/meta/ip-address.ts';
import { isAlreadyExists, isInvalid, isNotFound } from '#api/object/api-error.ts';
import { resources, type Service } from '#api/object/kinds.ts';

export interface ClusterDnsOptions {
  readonly client: KubeClient;
  /** One range per family, comma-separated; the tenth address of the first is that of the cluster DNS, as kubeadm has it. */
  readonly serviceCidr: string;
  readonly signal?: AbortSignal;
}

const NAMESPACE = 'kube-system';
const NAME = 'kube-dns';
const DNS_OFFSET = 10n;

/**
 * The Service at which pods find the cluster DNS, created where it is missing. It has no endpoints of its own: each agent answers for it,
 * until pods with the label `k8s-app: kube-dns` are ready. False when the address belongs to another Service: then that one serves.
 */
export async function ensureClusterDnsService({ client, serviceCidr, signal }: ClusterDnsOptions): Promise<boolean> {
  const range = parseCidr(serviceCidr.split(',')[0]?.trim() ?? '');
  if (range === undefined || range.size <= DNS_OFFSET) return false;
  const api = client.resource<Service>(resources.services);
  try {
    await api.fetch(NAME, NAMESPACE, signal);
    return true;
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
  try {
    await api.create(renderService(addressAt(range, DNS_OFFSET)) as unknown as Service, signal);
    return true;
  } catch (err) {
    // Another API server was faster, or somebody's DNS Service has another name.
    if (isAlreadyExists(err)) return true;
    if (isInvalid(err)) return false;
    throw err;
  }
}

function renderService(clusterIP: string) {
  const dns = { port: 53, targetPort: 53 };
  return {
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'k8s-app': NAME, 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP,
      selector: { 'k8s-app': NAME },
      ports: [
        { ...dns, name: 'dns', protocol: 'UDP' },
        { ...dns, name: 'dns-tcp', protocol: 'TCP' },
        { name: 'metrics', port: 9153, protocol: 'TCP', targetPort: 9153 },
      ],
    },
  };
}
