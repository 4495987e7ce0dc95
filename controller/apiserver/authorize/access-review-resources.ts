import type { ISelfSubjectReview } from 'kubernetes-models/authentication.k8s.io/v1/SelfSubjectReview';
import type { ITokenReview } from 'kubernetes-models/authentication.k8s.io/v1/TokenReview';
import type { ILocalSubjectAccessReview } from 'kubernetes-models/authorization.k8s.io/v1/LocalSubjectAccessReview';
import type { ISelfSubjectAccessReview } from 'kubernetes-models/authorization.k8s.io/v1/SelfSubjectAccessReview';
import type { ISelfSubjectRulesReview } from 'kubernetes-models/authorization.k8s.io/v1/SelfSubjectRulesReview';
import type { ISubjectAccessReview } from 'kubernetes-models/authorization.k8s.io/v1/SubjectAccessReview';
import { ApiError, badRequest } from '#api/object/api-error.ts';
import { type FieldError, invalid, invalidObject, required } from '#api/object/field-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import { type TokenVerifier, type VerifiedToken, verifyToken } from '../authenticate/bearer-token.ts';
import type { AuthorizationAttributes, Authorizer, RequestContext, UserInfo } from '../chain/request-context.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { RbacAuthorizer } from './rbac-authorizer.ts';

const AUTHORIZATION = 'authorization.k8s.io';
const AUTHENTICATION = 'authentication.k8s.io';

type ReviewSpec = ISubjectAccessReview['spec'];

export interface AccessReviewDeps {
  /** The one that the chain asks. */
  readonly authorizer: Authorizer;
  readonly rbac: Pick<RbacAuthorizer, 'rulesFor'>;
  /** In the order in which requests ask them. */
  readonly tokenVerifiers: readonly TokenVerifier[];
}

/** A question kind: its object may be created, is answered at once and never stored. */
function question<T extends object>(
  info: ResourceInfo,
  answer: (object: Stored<T>, context: RequestContext) => object | Promise<object>,
): ResourceDefinition {
  return defineResource({
    ...info,
    verbs: ['create'],
    storagePrefix: '',
    allowUnconditionalUpdate: false,
    validateName: () => [],
    virtualCreate: (object, context) =>
      answer(object as unknown as Stored<T>, context) as KubeObject | Promise<KubeObject>,
  });
}

const info = (group: string, resource: string, kind: string, namespaced = false): ResourceInfo => ({
  group,
  version: 'v1',
  resource,
  kind,
  namespaced,
});

/** Findings on the part that all access reviews share. */
function accessReviewErrors(spec: Pick<ReviewSpec, 'resourceAttributes' | 'nonResourceAttributes'>): FieldError[] {
  const { resourceAttributes, nonResourceAttributes } = spec;
  const detail = 'exactly one of nonResourceAttributes or resourceAttributes must be specified';
  if (resourceAttributes !== undefined && nonResourceAttributes !== undefined) {
    return [
      invalid(
        'spec.nonResourceAttributes',
        nonResourceAttributes,
        `cannot be specified in combination with resourceAttributes`,
      ),
    ];
  }
  return resourceAttributes === undefined && nonResourceAttributes === undefined
    ? [invalid('spec.resourceAttributes', null, detail)]
    : [];
}

function fieldSelectorOf(attributes: NonNullable<ReviewSpec['resourceAttributes']>): string {
  const { rawSelector, requirements } = attributes.fieldSelector ?? {};
  if (rawSelector !== undefined && rawSelector !== '') return rawSelector;
  return (requirements ?? [])
    .filter(({ operator, values }) => operator === 'In' && values?.length === 1)
    .map(({ key, values }) => `${key}=${values![0]}`)
    .join(',');
}

/** The question of a review as the authorizer understands it. */
function reviewedAttributes(
  user: UserInfo,
  { resourceAttributes, nonResourceAttributes }: Pick<ReviewSpec, 'resourceAttributes' | 'nonResourceAttributes'>,
): AuthorizationAttributes {
  return {
    user,
    isResourceRequest: resourceAttributes !== undefined,
    verb: resourceAttributes?.verb ?? nonResourceAttributes?.verb ?? '',
    path: nonResourceAttributes?.path ?? '',
    group: resourceAttributes?.group ?? '',
    version: resourceAttributes?.version ?? '*',
    resource: resourceAttributes?.resource ?? '',
    subresource: resourceAttributes?.subresource ?? '',
    namespace: resourceAttributes?.namespace ?? '',
    name: resourceAttributes?.name ?? '',
    fieldSelector: resourceAttributes === undefined ? '' : fieldSelectorOf(resourceAttributes),
  };
}

function accessStatus(authorizer: Authorizer, attributes: AuthorizationAttributes) {
  const { decision, reason } = authorizer.authorize(attributes);
  return {
    allowed: decision === 'allow',
    ...(decision === 'deny' ? { denied: true } : {}),
    ...(reason === '' ? {} : { reason }),
  };
}

/** The user that a review speaks of; extra keys are lower case, as authenticators write them. */
function reviewedUser(spec: ReviewSpec): UserInfo {
  const extra = Object.entries(spec.extra ?? {}).map(([key, values]) => [key.toLowerCase(), values] as const);
  return {
    name: spec.user ?? '',
    groups: spec.groups ?? [],
    ...(spec.uid === undefined ? {} : { uid: spec.uid }),
    ...(extra.length === 0 ? {} : { extra: Object.fromEntries(extra) }),
  };
}

function refuse(kind: string, errors: readonly FieldError[]): void {
  if (errors.length > 0) throw invalidObject({ group: AUTHORIZATION, version: 'v1', kind }, '', errors);
}

function subjectErrors(spec: ReviewSpec): FieldError[] {
  const errors = accessReviewErrors(spec);
  if (!spec.user && (spec.groups ?? []).length === 0)
    errors.push(invalid('spec.user', '', 'at least one of user or group must be specified'));
  return errors;
}

const userStatus = ({ name, uid, groups, extra }: UserInfo) => ({
  username: name,
  ...(uid === undefined ? {} : { uid }),
  groups,
  ...(extra === undefined ? {} : { extra }),
});

/** Asks the verifiers as a request would; a token that fails is an answer here, not an error. */
async function reviewToken(
  verifiers: readonly TokenVerifier[],
  token: string,
  audiences: readonly string[] | undefined,
): Promise<VerifiedToken | undefined> {
  try {
    return await verifyToken(verifiers, token, audiences);
  } catch (err) {
    if (!(err instanceof ApiError)) throw err;
    return undefined;
  }
}

async function tokenStatus(verifiers: readonly TokenVerifier[], spec: ITokenReview['spec']) {
  if (!spec.token)
    throw invalidObject({ group: AUTHENTICATION, version: 'v1', kind: 'TokenReview' }, '', [required('spec.token')]);
  const audiences = spec.audiences !== undefined && spec.audiences.length > 0 ? spec.audiences : undefined;
  const verified = await reviewToken(verifiers, spec.token, audiences);
  if (verified === undefined) return { authenticated: false, user: {}, error: 'invalid bearer token' };
  return { authenticated: true, user: userStatus(verified.user), audiences: verified.audiences };
}

function rulesStatus(rbac: AccessReviewDeps['rbac'], user: UserInfo, namespace: string) {
  const rules = rbac.rulesFor(user, namespace).map((rule) => rule.source);
  return {
    resourceRules: rules
      .filter((rule) => (rule.resources ?? []).length > 0)
      .map(({ verbs, apiGroups, resources, resourceNames }) => ({
        verbs,
        apiGroups,
        resources,
        ...(resourceNames === undefined ? {} : { resourceNames }),
      })),
    nonResourceRules: rules
      .filter((rule) => (rule.nonResourceURLs ?? []).length > 0)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}

/** SubjectAccessReview and its relatives, TokenReview and SelfSubjectReview: what `kubectl auth` and delegated authentication ask. */
export function accessReviewResources({
  authorizer,
  rbac,
  tokenVerifiers,
}: AccessReviewDeps): readonly ResourceDefinition[] {
  return [
    question<ISelfSubjectAccessReview>(
      info(AUTHORIZATION, 'selfsubjectaccessreviews', 'SelfSubjectAccessReview'),
      (object, { user }) => {
        refuse('SelfSubjectAccessReview', accessReviewErrors(object.spec));
        return { ...object, status: accessStatus(authorizer, reviewedAttributes(user, object.spec)) };
      },
    ),
    question<ISubjectAccessReview>(info(AUTHORIZATION, 'subjectaccessreviews', 'SubjectAccessReview'), (object) => {
      refuse('SubjectAccessReview', subjectErrors(object.spec));
      const attributes = reviewedAttributes(reviewedUser(object.spec), object.spec);
      return { ...object, status: accessStatus(authorizer, attributes) };
    }),
    question<ILocalSubjectAccessReview>(
      info(AUTHORIZATION, 'localsubjectaccessreviews', 'LocalSubjectAccessReview', true),
      (object, context) => {
        refuse('LocalSubjectAccessReview', localErrors(object.spec, context.info.namespace));
        const attributes = reviewedAttributes(reviewedUser(object.spec), object.spec);
        return { ...object, status: accessStatus(authorizer, attributes) };
      },
    ),
    question<ISelfSubjectRulesReview>(
      info(AUTHORIZATION, 'selfsubjectrulesreviews', 'SelfSubjectRulesReview'),
      (object, { user }) => {
        const namespace = object.spec.namespace ?? '';
        if (namespace === '') throw badRequest('no namespace on request');
        return { ...object, status: rulesStatus(rbac, user, namespace) };
      },
    ),
    question<ITokenReview>(info(AUTHENTICATION, 'tokenreviews', 'TokenReview'), async (object) => ({
      ...object,
      status: await tokenStatus(tokenVerifiers, object.spec),
    })),
    question<ISelfSubjectReview>(
      info(AUTHENTICATION, 'selfsubjectreviews', 'SelfSubjectReview'),
      // The time of the answer, as Kubernetes tells it: by it clients learn what the server believes.
      (object, { user, receivedAtMs }) => ({
        ...object,
        metadata: { ...object.metadata, creationTimestamp: toTime(receivedAtMs) },
        status: { userInfo: userStatus(user) },
      }),
    ),
  ];
}

function localErrors(spec: ReviewSpec, namespace: string): FieldError[] {
  const errors = subjectErrors(spec);
  if (spec.nonResourceAttributes !== undefined) {
    errors.push(
      invalid('spec.nonResourceAttributes', spec.nonResourceAttributes, 'disallowed on this kind of request'),
    );
  }
  const asked = spec.resourceAttributes?.namespace ?? '';
  if (spec.resourceAttributes !== undefined && asked !== namespace) {
    errors.push(invalid('spec.resourceAttributes.namespace', asked, `must match metadata.namespace`));
  }
  return errors;
}
