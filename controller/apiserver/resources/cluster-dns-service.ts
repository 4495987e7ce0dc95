import type { KubeClient } from '#api/client/client.ts';
import { addressAt, parseCidr } from '#api/meta/ip-address.ts';
import { isAlreadyExists, isInvalid, isNotFound } from '#api/object/api-error.ts';
import { resources, type Service } from '#api/object/kinds.ts';

export interface ClusterDnsOptions {
  readonly client: KubeClient;
  /** One range per family, comma-separated; the tenth address of each is that of the cluster DNS, as kubeadm has it. */
  readonly serviceCidr: string;
  readonly signal?: AbortSignal;
}

const NAMESPACE = 'kube-system';
const NAME = 'kube-dns';
/** Of its address in a range of Services, as kubeadm has it. */
export const DNS_OFFSET = 10n;

/**
 * The Service at which pods find the cluster DNS, created where it is missing. It has no endpoints of its own: each agent answers for it,
 * until pods with the label `k8s-app: kube-dns` are ready. False when the address belongs to another Service: then that one serves.
 */
export async function ensureClusterDnsService({ client, serviceCidr, signal }: ClusterDnsOptions): Promise<boolean> {
  const ranges = serviceCidr.split(',').flatMap((cidr) => parseCidr(cidr.trim()) ?? []);
  if (ranges.length === 0 || ranges.some(({ size }) => size <= DNS_OFFSET)) return false;
  const clusterIps = ranges.map((range) => addressAt(range, DNS_OFFSET));
  const api = client.resource<Service>(resources.services);
  try {
    await api.fetch(NAME, NAMESPACE, signal);
    return true;
  } catch (err) {
    if (!isNotFound(err)) throw err;
  }
  try {
    await api.create(renderService(clusterIps) as unknown as Service, signal);
    return true;
  } catch (err) {
    // Another API server was faster, or somebody's DNS Service has another name.
    if (isAlreadyExists(err)) return true;
    if (isInvalid(err)) return false;
    throw err;
  }
}

function renderService(clusterIPs: readonly string[]) {
  const dns = { port: 53, targetPort: 53 };
  return {
    metadata: {
      name: NAME,
      namespace: NAMESPACE,
      labels: { 'k8s-app': NAME, 'kubernetes.io/cluster-service': 'true', 'kubernetes.io/name': 'CoreDNS' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterIPs[0],
      clusterIPs,
      ipFamilyPolicy: clusterIPs.length > 1 ? 'PreferDualStack' : 'SingleStack',
      selector: { 'k8s-app': NAME },
      ports: [
        { ...dns, name: 'dns', protocol: 'UDP' },
        { ...dns, name: 'dns-tcp', protocol: 'TCP' },
        { name: 'metrics', port: 9153, protocol: 'TCP', targetPort: 9153 },
      ],
    },
  };
}
