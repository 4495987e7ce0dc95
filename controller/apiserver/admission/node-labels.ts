/** Labels that a node may set on itself inside Kubernetes' own domains. */
const OWN_LABELS: ReadonlySet<string> = new Set([
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'kubernetes.io/arch',
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'node.kubernetes.io/instance-type',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
]);
const OWN_DOMAINS = ['kubelet.kubernetes.io', 'node.kubernetes.io'];
const RESTRICTED_DOMAIN = 'node-restriction.kubernetes.io';

const isInDomain = (domain: string, parent: string): boolean => domain === parent || domain.endsWith(`.${parent}`);

/** True for labels that people set on nodes to steer workloads: a node that could set them would lure Secrets to itself. */
export function isRestrictedNodeLabel(key: string): boolean {
  const slash = key.indexOf('/');
  if (slash < 0) return false;
  const domain = key.slice(0, slash);
  if (isInDomain(domain, RESTRICTED_DOMAIN)) return true;
  if (!isInDomain(domain, 'kubernetes.io') && !isInDomain(domain, 'k8s.io')) return false;
  return !OWN_LABELS.has(key) && !OWN_DOMAINS.some((own) => isInDomain(domain, own));
}

/** Keys whose value differs between the two label sets, sorted. */
export function changedLabels(
  before: Readonly<Record<string, string>>,
  after: Readonly<Record<string, string>>,
): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].filter((key) => before[key] !== after[key]).sort();
}
