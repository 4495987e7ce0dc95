import { pathSegmentName, qualifiedName } from '#api/meta/names.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition, StrategyContext, SubresourceDefinition } from '../registry/resource-definition.ts';
import { age, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { humanDuration } from './printing/duration.ts';

type Csr = CertificateSigningRequest;
type Condition = NonNullable<NonNullable<Csr['status']>['conditions']>[number];

const MIN_EXPIRATION_S = 600;
const DECISIONS = ['Approved', 'Denied'];
const USAGES = [
  'any',
  'cert sign',
  'client auth',
  'code signing',
  'content commitment',
  'crl sign',
  'data encipherment',
  'decipher only',
  'digital signature',
  'email protection',
  'encipher only',
  'ipsec end system',
  'ipsec tunnel',
  'ipsec user',
  'key agreement',
  'key encipherment',
  'microsoft sgc',
  'netscape sgc',
  'ocsp signing',
  's/mime',
  'server auth',
  'signing',
  'timestamping',
];

const hasCondition = (csr: Csr, type: string): boolean =>
  csr.status?.conditions?.some((condition) => condition.type === type) ?? false;

/** `domain/path`: a DNS domain with a dot and a name below it. */
function validateSignerName(name: string | undefined): FieldError[] {
  if (!name) return [required('spec.signerName')];
  const slash = name.indexOf('/');
  if (slash < 0)
    return [
      invalid(
        'spec.signerName',
        name,
        'must be a fully qualified domain and path of the form "example.com/signer-name"',
      ),
    ];
  const [domain, path] = [name.slice(0, slash), name.slice(slash + 1)];
  const errors: FieldError[] = [];
  if (!domain.includes('.') || qualifiedName(`${domain}/x`).length > 0) {
    errors.push(invalid('spec.signerName', name, 'should be a domain with at least two segments separated by dots'));
  }
  if (path === '' || qualifiedName(path.split('.').join('-')).length > 0) {
    errors.push(invalid('spec.signerName', name, 'should have a valid path after the domain'));
  }
  return errors;
}

function validateUsages(usages: readonly string[] | undefined): FieldError[] {
  if (usages === undefined || usages.length === 0) return [required('spec.usages')];
  return usages.flatMap((usage, i) => {
    if (!USAGES.includes(usage)) return [notSupported(`spec.usages[${i}]`, usage, USAGES)];
    return usages.indexOf(usage) < i ? [duplicate(`spec.usages[${i}]`, usage)] : [];
  });
}

function validateRequest(request: string | undefined): FieldError[] {
  const pem = Buffer.from(request ?? '', 'base64').toString('latin1');
  const isRequest = /-----BEGIN (NEW )?CERTIFICATE REQUEST-----[\s\S]+-----END (NEW )?CERTIFICATE REQUEST-----/.test(
    pem,
  );
  return isRequest ? [] : [invalid('spec.request', request ?? '', 'PEM block type must be CERTIFICATE REQUEST')];
}

function validateCsr(csr: Csr): FieldError[] {
  const { request, usages, signerName, expirationSeconds } = csr.spec ?? {};
  const errors = [
    ...validateRequest(request as unknown as string | undefined),
    ...validateUsages(usages),
    ...validateSignerName(signerName),
  ];
  if (signerName === 'kubernetes.io/legacy-unknown') {
    errors.push(invalid('spec.signerName', signerName, 'the legacy signerName is not allowed via this API version'));
  }
  if (expirationSeconds !== undefined && expirationSeconds < MIN_EXPIRATION_S) {
    errors.push(
      invalid(
        'spec.expirationSeconds',
        expirationSeconds,
        'may not specify a duration less than 600 seconds (10 minutes)',
      ),
    );
  }
  return errors;
}

/** Conditions in order of first appearance; each type once, Approved and Denied exclude each other. */
function validateConditions(csr: Csr): FieldError[] {
  const conditions = csr.status?.conditions ?? [];
  return conditions.flatMap((condition, i) => {
    const path = `status.conditions[${i}]`;
    const errors: FieldError[] = [];
    if (!condition.type) errors.push(required(`${path}.type`));
    if (!condition.status) errors.push(required(`${path}.status`));
    else if (DECISIONS.includes(condition.type) && condition.status !== 'True') {
      errors.push(notSupported(`${path}.status`, condition.status, ['True']));
    }
    if (conditions.findIndex((other) => other.type === condition.type) < i) {
      errors.push(duplicate(`${path}.type`, condition.type));
    }
    const opposite = condition.type === 'Approved' ? 'Denied' : condition.type === 'Denied' ? 'Approved' : undefined;
    if (opposite !== undefined && conditions.slice(0, i).some((other) => other.type === opposite)) {
      errors.push(invalid(`${path}.type`, condition.type, 'Approved and Denied conditions are mutually exclusive'));
    }
    return errors;
  });
}

/** A decision once taken stays: Approved, Denied and Failed cannot be taken back. */
function validateDecisions(csr: Csr, old: Csr, mayDecide: boolean): FieldError[] {
  const errors = validateConditions(csr);
  for (const type of [...DECISIONS, 'Failed']) {
    const [now, before] = [hasCondition(csr, type), hasCondition(old, type)];
    if (before && !now) {
      errors.push(forbiddenField('status.conditions', `updates may not remove a condition of type "${type}"`));
    }
    if (!before && now && !mayDecide && DECISIONS.includes(type)) {
      errors.push(forbiddenField('status.conditions', `updates may not add a condition of type "${type}"`));
    }
  }
  const oldCertificate = old.status?.certificate;
  if (oldCertificate && !deepEqual(oldCertificate, csr.status?.certificate)) {
    errors.push(forbiddenField('status.certificate', 'updates may not set certificate content'));
  }
  return errors;
}

/** Times that clients leave to the server. */
function stampConditions(csr: Csr, old: Csr, nowMs: number): void {
  for (const condition of (csr.status?.conditions ?? []) as Condition[]) {
    condition.status ||= 'True';
    const same = old.status?.conditions?.find(
      ({ type, status }) => type === condition.type && status === condition.status,
    );
    condition.lastUpdateTime ??= toTime(nowMs);
    condition.lastTransitionTime ??= same?.lastTransitionTime ?? toTime(nowMs);
  }
}

/** Who asks is written by the server, never believed from the body. */
function recordRequestor(csr: Csr, { request: { user } }: StrategyContext): void {
  if (csr.spec === undefined) return;
  csr.spec.username = user.name;
  if (user.uid) csr.spec.uid = user.uid;
  else delete csr.spec.uid;
  csr.spec.groups = [...user.groups];
  if (user.extra === undefined || Object.keys(user.extra).length === 0) delete csr.spec.extra;
  else csr.spec.extra = Object.fromEntries(Object.entries(user.extra).map(([key, values]) => [key, [...values]]));
}

/** PUT with conditions Approved or Denied, which nothing else may set. */
const approval: SubresourceDefinition = {
  name: 'approval',
  verbs: ['get', 'patch', 'update'],
  kind: { group: 'certificates.k8s.io', version: 'v1', kind: 'CertificateSigningRequest' },
  face: {
    as: 'status',
    get: (csr) => csr,
    apply(face, csr) {
      const { conditions } = (face.status ?? {}) as { conditions?: unknown };
      return { ...csr, status: { ...(csr.status as object), conditions } };
    },
  },
};

function conditionCell(csr: Csr): string {
  const decision = hasCondition(csr, 'Denied') ? 'Denied' : hasCondition(csr, 'Approved') ? 'Approved' : 'Pending';
  return `${decision}${hasCondition(csr, 'Failed') ? ',Failed' : ''}${csr.status?.certificate ? ',Issued' : ''}`;
}

export const certificateSigningRequests: ResourceDefinition = defineResource<Csr>({
  group: 'certificates.k8s.io',
  version: 'v1',
  resource: 'certificatesigningrequests',
  kind: 'CertificateSigningRequest',
  namespaced: false,
  shortNames: ['csr'],
  hasStatus: true,
  subresources: [approval],
  validateName: pathSegmentName,
  prepareForCreate(csr, context) {
    recordRequestor(csr, context);
    csr.status = {};
  },
  prepareForUpdate(csr, old) {
    csr.spec = old.spec;
  },
  prepareForStatusUpdate(csr, old, { nowMs }) {
    stampConditions(csr, old, nowMs);
  },
  validate: validateCsr,
  validateStatusUpdate: (csr, old, { request }) => validateDecisions(csr, old, request.info.subresource === 'approval'),
  selectableFields: (csr) => ({ 'spec.signerName': csr.spec?.signerName ?? '' }),
  columns: [
    nameColumn,
    ageColumn,
    text('SignerName', 'The signer that is asked.'),
    text('Requestor', 'Who asks.'),
    text('RequestedDuration', 'How long the certificate shall be valid.'),
    text('Condition', 'Decision on the request, and whether a certificate was issued.'),
  ],
  tableRow: (csr, nowMs) => [
    csr.metadata.name,
    age(csr, nowMs),
    csr.spec?.signerName ?? NONE,
    csr.spec?.username ?? '',
    csr.spec?.expirationSeconds === undefined ? NONE : humanDuration(csr.spec.expirationSeconds * 1000),
    conditionCell(csr),
  ],
});
