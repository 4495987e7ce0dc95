import type { Clock } from '#base/clock.ts';
import { FRONT_PROXY_CLIENT, type ServiceAccountKey } from '../pki/cluster-pki.ts';
import type { Store } from '../store/store.ts';
import type { AdmissionPlugin } from './admission/admission-plugin.ts';
import { type AdmissionDeps, builtinAdmission } from './admission/builtin-admission.ts';
import { createAdmissionPolicies } from './admission/policy/admission-policies.ts';
import { createResourceQuota } from './admission/resource-quota/resource-quota.ts';
import type { AuditPolicy } from './audit/audit-policy.ts';
import { createBearerTokenAuthenticator, type TokenVerifier } from './authenticate/bearer-token.ts';
import { createBootstrapTokenVerifier } from './authenticate/bootstrap-token.ts';
import { createClientCertificateAuthenticator } from './authenticate/client-certificate.ts';
import { createComponentAuthenticator } from './authenticate/component.ts';
import { createLapsedNodeAuthenticator } from './authenticate/lapsed-node.ts';
import { createLegacyTokenVerifier } from './authenticate/legacy-token.ts';
import { createRequestHeaderAuthenticator } from './authenticate/request-header.ts';
import { createServiceAccountTokenVerifier } from './authenticate/service-account-token.ts';
import {
  createTokenIssuer,
  renderJsonWebKeySet,
  renderOpenIdConfiguration,
  SERVICE_ACCOUNT_ISSUER,
} from './authenticate/token-issuer.ts';
import { accessReviewResources } from './authorize/access-review-resources.ts';
import { netdAuthorizer } from './authorize/netd-authorizer.ts';
import { createNodeAuthorizer } from './authorize/node-authorizer.ts';
import { createNodeGraph } from './authorize/node-graph.ts';
import { createRbacAuthorizer } from './authorize/rbac-authorizer.ts';
import { createRecordingAuthorizer, type RecordedDecision } from './authorize/recording-authorizer.ts';
import { createUnionAuthorizer, superuserAuthorizer } from './authorize/union-authorizer.ts';
import { createAuditFilter, createFailedAuthenticationAudit } from './chain/filters/audit.ts';
import { type AnonymousAccess, createAuthenticateFilter } from './chain/filters/authenticate.ts';
import { createAuthorizeFilter } from './chain/filters/authorize.ts';
import { createFlowControlFilter } from './chain/filters/flow-control.ts';
import { createImpersonateFilter } from './chain/filters/impersonate.ts';
import type { Authorizer, Filter, RequestContext, RequestInfo } from './chain/request-context.ts';
import { flowControlDumps } from './flow-control/debug-dumps.ts';
import { FlowController } from './flow-control/flow-controller.ts';
import { FlowMetrics } from './flow-control/flow-metrics.ts';
import { followFlowConfiguration } from './flow-control/maintain-configuration.ts';
import { SecurityMetrics } from './metrics/security-metrics.ts';
import type { ResourceDefinition, TokenIssuer } from './registry/resource-definition.ts';
import type { ExtraPath } from './server/api-server.ts';

export interface SecurityDeps {
  readonly store: Store;
  readonly serviceAccountKey: ServiceAccountKey;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Admission webhooks; without them none is asked. */
  readonly webhooks?: AdmissionDeps['webhooks'];
  /** Tokens of other issuers; undefined: there are none. */
  readonly oidc?: TokenVerifier;
  /** What the administrator says of requests without credentials. */
  readonly anonymous?: () => AnonymousAccess | undefined;
  /** Takes one JSON line per audited request; see AuditBuffer. Undefined: no audit log is kept. */
  readonly writeAudit?: (line: string) => void;
  /** Which requests are audited and how closely; undefined: the default. */
  readonly auditPolicy?: AuditPolicy | undefined;
  /** Seats of priority and fairness; default 600, Kubernetes' 400 reads and 200 writes. */
  readonly totalSeats?: number;
  /** How long after its end a node's certificate still lets it ask for another one. */
  readonly lapsedNodeWindowMs?: number;
  /** Takes every question of authorization and its answer; must not block. Undefined: none is recorded. */
  readonly recordDecision?: (decision: RecordedDecision) => void;
}

/** Everything of the API server that says who may do what. */
export interface Security {
  readonly filters: readonly Filter[];
  readonly admission: readonly AdmissionPlugin[];
  readonly authorizer: Authorizer;
  readonly tokens: TokenIssuer;
  /** Access reviews, TokenReview, SelfSubjectReview: add them to the built-in definitions. */
  readonly definitions: readonly ResourceDefinition[];
  /** Keys and metadata by which others verify our ServiceAccount tokens. */
  readonly extraPaths: readonly ExtraPath[];
  /** Whether health and version answer whoever asks; not where the administrator says who may come without credentials. */
  isHealthPublic(): boolean;
  /** Text for `/metrics`. */
  renderMetrics(): string;
  /** Ends the watches behind the authorizers. */
  stop(): void;
}

const TOTAL_SEATS = 600;
/** A year: what a device in a drawer may miss. */
const LAPSED_NODE_WINDOW_MS = 365 * 86_400_000;

/** Storage prefixes that are not the resource's name. */
const PREFIXES: Readonly<Record<string, string>> = {
  endpoints: 'services/endpoints',
  ingresses: 'ingress',
  nodes: 'minions',
  replicationcontrollers: 'controllers',
  services: 'services/specs',
};

/** How much a list goes through, by the place where its kind lies: built-in kinds under their name, custom ones under their group's. */
function countObjects(store: Store, { group, resource, namespace }: RequestInfo): number {
  const snapshot = store.snapshot();
  const within = namespace === '' ? '' : `${namespace}/`;
  const count = snapshot.count(`/registry/${PREFIXES[resource] ?? resource}/${within}`);
  return count > 0 || group === '' ? count : snapshot.count(`/registry/${group}/${resource}/${within}`);
}

/** Puts authenticators, authorizers and admission together, each table in the order in which it is asked. */
export function createSecurity(deps: SecurityDeps): Security {
  const { store, serviceAccountKey: key, clock } = deps;
  const tokenVerifiers: TokenVerifier[] = [
    createServiceAccountTokenVerifier({ store, key, clock }),
    createLegacyTokenVerifier({ store, key, audiences: [SERVICE_ACCOUNT_ISSUER] }),
    createBootstrapTokenVerifier({ store, clock }),
    ...(deps.oidc === undefined ? [] : [deps.oidc]),
  ];
  const authenticators = [
    createComponentAuthenticator(),
    createRequestHeaderAuthenticator([FRONT_PROXY_CLIENT]),
    createClientCertificateAuthenticator(clock),
    createLapsedNodeAuthenticator({ store, clock, windowMs: deps.lapsedNodeWindowMs ?? LAPSED_NODE_WINDOW_MS }),
    createBearerTokenAuthenticator(tokenVerifiers),
  ];
  const { graph, stop: stopGraph } = createNodeGraph(store);
  const rbac = createRbacAuthorizer(store);
  const union = createUnionAuthorizer([superuserAuthorizer, createNodeAuthorizer(graph), netdAuthorizer, rbac]);
  const { recordDecision } = deps;
  const authorizer = recordDecision === undefined ? union : createRecordingAuthorizer(union, recordDecision);
  const audit = { clock, write: deps.writeAudit, policy: deps.auditPolicy };
  const metrics = new SecurityMetrics();
  const flowMetrics = new FlowMetrics();
  const flowController = new FlowController({
    clock,
    metrics: flowMetrics,
    totalSeats: deps.totalSeats ?? TOTAL_SEATS,
  });
  const stopFlowConfiguration = followFlowConfiguration(store, flowController);
  const policies = createAdmissionPolicies({ store, authorizer });
  const quota = createResourceQuota({ store, clock });
  return {
    filters: [
      createAuthenticateFilter({
        authenticators,
        clock,
        metrics,
        onFailure: createFailedAuthenticationAudit(audit),
        ...(deps.anonymous === undefined ? {} : { anonymous: deps.anonymous }),
      }),
      createAuditFilter(audit),
      createImpersonateFilter({ authorizer }),
      createFlowControlFilter({ clock, controller: flowController, countObjects: (info) => countObjects(store, info) }),
      createAuthorizeFilter({ authorizer, metrics }),
    ],
    admission: builtinAdmission({ ...deps, authorizer, rbac, policies, quota: quota.plugin }),
    authorizer,
    tokens: createTokenIssuer({ key, clock }),
    definitions: accessReviewResources({ authorizer, rbac, tokenVerifiers }),
    extraPaths: [...discoveryOfKeys(key), ...flowControlDumps(flowController)],
    isHealthPublic: () => deps.anonymous?.() === undefined,
    renderMetrics: () => metrics.render() + flowMetrics.render(flowController.levels),
    stop() {
      stopFlowConfiguration();
      policies.stop();
      quota.stop();
      stopGraph();
      rbac.stop();
    },
  };
}

function discoveryOfKeys(key: ServiceAccountKey): readonly ExtraPath[] {
  const jwksPath = '/openid/v1/jwks';
  const answer = (path: string, contentType: string, body: string): ExtraPath => ({
    path,
    async handle({ response }: RequestContext) {
      const headers = { 'content-type': contentType, 'cache-control': 'public, max-age=3600' };
      response.send(200, headers, new TextEncoder().encode(body));
    },
  });
  const configuration = renderOpenIdConfiguration(SERVICE_ACCOUNT_ISSUER, `${SERVICE_ACCOUNT_ISSUER}${jwksPath}`);
  return [
    answer('/.well-known/openid-configuration', 'application/json', configuration),
    answer(jwksPath, 'application/jwk-set+json', renderJsonWebKeySet(key)),
  ];
}
