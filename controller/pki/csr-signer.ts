import {
  type AltNames,
  BadRequestPem,
  type CertificateUsage,
  type ParsedRequest,
  parseSigningRequest,
  type Subject,
} from './certificate-builder.ts';
import type { ClusterPki } from './cluster-pki.ts';

const DAY_SECONDS = 86_400;
const MIN_DURATION_SECONDS = 600;
const MAX_DURATION_SECONDS = 365 * DAY_SECONDS;

/** What a request asks for, in plain values; kept apart from the key so that the rules are pure. */
export interface RequestedCertificate {
  readonly subject: Subject;
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  readonly otherSubjectAttributes: readonly string[];
}

export interface SigningOrder {
  readonly signerName: string;
  /** `spec.request`, PEM. */
  readonly requestPem: string;
  readonly usages: readonly string[];
  readonly expirationSeconds: number | undefined;
}

interface SignerRule {
  readonly usages: { readonly required: CertificateUsage; readonly allowed: readonly CertificateUsage[] };
  /** Why the request may not be signed, or undefined. Rules of kubernetes.io signers: Kubernetes' certificate-signing-requests page. */
  problem(request: RequestedCertificate): string | undefined;
}

const hasAltNames = (request: RequestedCertificate): boolean =>
  request.dnsNames.length + request.addresses.length + request.emails.length + request.uris.length > 0;

function subjectProblem(
  { subject, otherSubjectAttributes }: RequestedCertificate,
  rule: { organization: string; commonNamePrefix: string },
): string | undefined {
  if (subject.organizations.length !== 1 || subject.organizations[0] !== rule.organization) {
    return `the subject's organization must be exactly ["${rule.organization}"]`;
  }
  const { commonNamePrefix } = rule;
  if (!subject.commonName.startsWith(commonNamePrefix) || subject.commonName.length === commonNamePrefix.length) {
    return `the subject's common name must start with "${commonNamePrefix}"`;
  }
  return otherSubjectAttributes.length === 0
    ? undefined
    : `the subject may hold O and CN only, not ${otherSubjectAttributes.join(', ')}`;
}

const CLIENT_USAGES = {
  required: 'client auth',
  allowed: ['client auth', 'digital signature', 'key encipherment'],
} as const;
const NODE_SUBJECT = { organization: 'system:nodes', commonNamePrefix: 'system:node:' } as const;
const NETD_SUBJECT = { organization: 'coracle:netd', commonNamePrefix: 'coracle:netd:' } as const;
const NO_ALT_NAMES = 'subject alternative names are not allowed';

const RULES: Readonly<Record<string, SignerRule>> = {
  'kubernetes.io/kube-apiserver-client': {
    usages: CLIENT_USAGES,
    problem: ({ subject }) =>
      subject.organizations.includes('system:masters')
        ? 'the group "system:masters" may not be requested: it bypasses authorization'
        : undefined,
  },
  'kubernetes.io/kube-apiserver-client-kubelet': {
    usages: CLIENT_USAGES,
    problem: (request) => subjectProblem(request, NODE_SUBJECT) ?? (hasAltNames(request) ? NO_ALT_NAMES : undefined),
  },
  'kubernetes.io/kubelet-serving': {
    usages: { required: 'server auth', allowed: ['server auth', 'digital signature', 'key encipherment'] },
    problem: (request) => {
      if (request.emails.length > 0) return 'email subject alternative names are not allowed';
      if (request.uris.length > 0) return 'URI subject alternative names are not allowed';
      if (request.dnsNames.length + request.addresses.length === 0) {
        return 'at least one DNS name or IP address is required';
      }
      return subjectProblem(request, NODE_SUBJECT);
    },
  },
  'coracle.dev/netd': {
    usages: CLIENT_USAGES,
    problem: (request) => subjectProblem(request, NETD_SUBJECT) ?? (hasAltNames(request) ? NO_ALT_NAMES : undefined),
  },
};

/** Signers whose certificates this cluster's CA issues. */
const SIGNER_NAMES: readonly string[] = Object.keys(RULES);

/** Why this request breaks the rules of its signer, or undefined. Throws for a signer that is not ours. */
export function signingProblem(
  signerName: string,
  request: RequestedCertificate,
  usages: readonly string[],
): string | undefined {
  const rule = RULES[signerName];
  if (rule === undefined) throw new Error(`signer ${signerName} is not ours`);
  const foreign = usages.filter((usage) => !(rule.usages.allowed as readonly string[]).includes(usage));
  if (foreign.length > 0) return `usages not allowed for ${signerName}: ${foreign.join(', ')}`;
  if (!usages.includes(rule.usages.required)) return `usage "${rule.usages.required}" is required by ${signerName}`;
  return rule.problem(request);
}

/** Life of a certificate in ms: what was asked for, at least 10 minutes, at most (and by default) a year. */
export function certificateDurationMs(expirationSeconds: number | undefined): number {
  const wanted = expirationSeconds ?? MAX_DURATION_SECONDS;
  return Math.min(Math.max(wanted, MIN_DURATION_SECONDS), MAX_DURATION_SECONDS) * 1000;
}

/** `refused`: the request breaks its signer's rules and never succeeds, so the CertificateSigningRequest is marked Failed with this message. */
export type SigningOutcome = { readonly certificatePem: string } | { readonly refused: string };

/** Signs approved CertificateSigningRequests with the cluster's CA. */
export interface CsrSigner {
  readonly signerNames: readonly string[];
  /** What the PEM asks for; undefined when it is no valid PKCS #10 request. */
  inspect(requestPem: string): Promise<RequestedCertificate | undefined>;
  /** Why an approved request would be refused, or undefined; pure. */
  problem(signerName: string, request: RequestedCertificate, usages: readonly string[]): string | undefined;
  sign(order: SigningOrder): Promise<SigningOutcome>;
}

async function parse(requestPem: string): Promise<ParsedRequest | undefined> {
  try {
    return await parseSigningRequest(requestPem);
  } catch (cause) {
    if (cause instanceof BadRequestPem) return undefined;
    throw cause;
  }
}

export function createCsrSigner(pki: Pick<ClusterPki, 'signCertificate'>): CsrSigner {
  return {
    signerNames: SIGNER_NAMES,
    inspect: parse,
    problem: signingProblem,
    async sign({ signerName, requestPem, usages, expirationSeconds }) {
      const request = await parse(requestPem);
      if (request === undefined) return { refused: 'not a valid PKCS #10 certificate request' };
      const refused = signingProblem(signerName, request, usages);
      if (refused !== undefined) return { refused };
      const altNames: AltNames = { dnsNames: request.dnsNames, addresses: request.addresses };
      const certificatePem = await pki.signCertificate({
        subject: request.subject,
        publicKey: request.publicKey,
        altNames,
        usages: usages as readonly CertificateUsage[],
        durationMs: certificateDurationMs(expirationSeconds),
      });
      return { certificatePem };
    },
  };
}
