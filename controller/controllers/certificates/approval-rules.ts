import type { CertificateSigningRequest, Node } from '#api/object/kinds.ts';
import type { RequestedCertificate } from './certificate-signer.ts';

const KUBELET_CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client-kubelet';
const KUBELET_SERVING_SIGNER = 'kubernetes.io/kubelet-serving';
const NETD_SIGNER = 'coracle.dev/netd';
const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client';

/** Parts of the control plane that may run in processes of their own, under certificates. */
const COMPONENTS: ReadonlySet<string> = new Set([
  'system:kube-scheduler',
  'system:kube-controller-manager',
  'system:cloud-controller-manager',
]);
const NODE_USER = 'system:node:';
const NETD_USER = 'coracle:netd:';

/** Names that belong to the API server: whoever holds a certificate for them can pretend to be it. */
const RESERVED_NAMES = /^(?:localhost|kubernetes(?:\.default(?:\.svc(?:\..+)?)?)?)$/;

export type ApprovalPlan =
  /** Not ours to approve: a person or another controller decides. */
  | { readonly kind: 'ignore'; readonly why: string }
  /** Approve when the requester may create this subresource of certificatesigningrequests. */
  | { readonly kind: 'ask'; readonly subresource: 'nodeclient' | 'selfnodeclient'; readonly message: string }
  | { readonly kind: 'approve'; readonly message: string }
  /** Cannot be said yet: the Node object is missing or does not show these addresses. */
  | { readonly kind: 'wait'; readonly why: string };

export interface ApprovalFacts {
  readonly csr: CertificateSigningRequest;
  readonly request: RequestedCertificate;
  /** Every Node of the cluster. */
  readonly nodes: readonly Node[];
}

function planClient({ csr, request }: ApprovalFacts, prefix: string): ApprovalPlan {
  const nodeName = request.subject.commonName.slice(prefix.length);
  if (RESERVED_NAMES.test(nodeName)) return { kind: 'ignore', why: `${nodeName} is a name of the API server` };
  const isSelf = csr.spec.username === `${NODE_USER}${nodeName}`;
  return {
    kind: 'ask',
    subresource: isSelf ? 'selfnodeclient' : 'nodeclient',
    message: isSelf
      ? 'Auto approving a certificate for a node that renews its own'
      : 'Auto approving a node that joins',
  };
}

const addressesOf = (node: Node, kinds: readonly string[]): string[] =>
  (node.status?.addresses ?? []).filter(({ type }) => kinds.includes(type)).map(({ address }) => address);

const IP_KINDS = ['InternalIP', 'ExternalIP'];
const DNS_KINDS = ['Hostname', 'InternalDNS', 'ExternalDNS'];

/**
 * A serving certificate holds the node's own name, and addresses that its Node object shows and no other Node does. Addresses are
 * reported by the node itself, so this keeps nodes from taking each other's, not from inventing new ones.
 */
function planServing({ csr, request, nodes }: ApprovalFacts): ApprovalPlan {
  const { commonName } = request.subject;
  if (csr.spec.username !== commonName || !csr.spec.groups?.includes('system:nodes')) {
    return { kind: 'ignore', why: 'only the node itself may ask for its serving certificate' };
  }
  const nodeName = commonName.slice(NODE_USER.length);
  const node = nodes.find(({ metadata }) => metadata.name === nodeName);
  const others = nodes.filter((other) => other !== node);
  const ownNames = new Set([nodeName, ...(node === undefined ? [] : addressesOf(node, DNS_KINDS))]);
  const ownAddresses = new Set(node === undefined ? [] : addressesOf(node, IP_KINDS));
  const reserved = request.dnsNames.find((name) => RESERVED_NAMES.test(name));
  if (reserved !== undefined) return { kind: 'ignore', why: `${reserved} is a name of the API server` };
  const taken = [...request.addresses, ...request.dnsNames].find((value) =>
    others.some(
      (other) => other.metadata.name === value || addressesOf(other, [...IP_KINDS, ...DNS_KINDS]).includes(value),
    ),
  );
  if (taken !== undefined) return { kind: 'ignore', why: `${taken} belongs to another node` };
  const unknown = [
    ...request.dnsNames.filter((name) => !ownNames.has(name)),
    ...request.addresses.filter((address) => !ownAddresses.has(address)),
  ];
  return unknown.length === 0
    ? { kind: 'approve', message: "Auto approving a serving certificate for the node's own names" }
    : { kind: 'wait', why: `the Node object does not show ${unknown.join(', ')}` };
}

/** Nobody but the component itself asks for its name, and it asks for nothing else. */
function planComponent({ csr, request }: ApprovalFacts): ApprovalPlan {
  const { commonName, organizations } = request.subject;
  const isPlain =
    organizations.length +
      request.dnsNames.length +
      request.addresses.length +
      request.emails.length +
      request.uris.length +
      request.otherSubjectAttributes.length ===
    0;
  return COMPONENTS.has(commonName) && csr.spec.username === commonName && isPlain
    ? { kind: 'approve', message: 'Auto approving a certificate for a component that renews its own' }
    : { kind: 'ignore', why: 'this signer wants a decision by a person' };
}

/** What to do with a request that nobody has decided and that keeps its signer's rules. Pure. */
export function planApproval(facts: ApprovalFacts): ApprovalPlan {
  switch (facts.csr.spec.signerName) {
    case KUBELET_CLIENT_SIGNER:
      return planClient(facts, NODE_USER);
    case NETD_SIGNER:
      return planClient(facts, NETD_USER);
    case KUBELET_SERVING_SIGNER:
      return planServing(facts);
    case CLIENT_SIGNER:
      return planComponent(facts);
    default:
      return { kind: 'ignore', why: 'this signer wants a decision by a person' };
  }
}
