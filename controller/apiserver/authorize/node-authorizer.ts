import type { AuthorizationAttributes, Authorizer, AuthorizerDecision } from '../chain/request-context.ts';
import type { NodeGraph, ReferencedKind } from './node-graph.ts';
import { nodeNameOf } from './node-identity.ts';
import { NODE_COMMON_RULES } from './node-rules.ts';
import { compileRule, ruleAllows } from './rule-resolver.ts';

const ALLOW: AuthorizerDecision = { decision: 'allow', reason: '' };
const noOpinion = (reason: string): AuthorizerDecision => ({ decision: 'noOpinion', reason });

const READ_VERBS: ReadonlySet<string> = new Set(['get', 'list', 'watch']);
const UPDATE_VERBS: ReadonlySet<string> = new Set(['update', 'patch']);
const LEASE_NAMESPACE = 'kube-node-lease';

const COMMON = NODE_COMMON_RULES.map(compileRule);

type Decide = (attributes: AuthorizationAttributes, nodeName: string) => AuthorizerDecision;

/** Value that a field selector demands of `field`; undefined when it does not fix it. */
function selectedValue(selector: string | undefined, field: string): string | undefined {
  for (const term of (selector ?? '').split(',')) {
    const match = /^([^=!]+)==?([^=].*|)$/.exec(term.trim());
    if (match?.[1] === field) return match[2];
  }
  return undefined;
}

/**
 * Kubernetes' Node authorizer: a node reads what its own pods refer to, writes about itself and its own pods, and sees no other node's
 * pods. What it does not allow is left to the next authorizer.
 */
export function createNodeAuthorizer(graph: Pick<NodeGraph, 'refersTo'>): Authorizer {
  const decideByResource = resourceTable(graph);
  return {
    name: 'node',
    authorize(attributes) {
      const nodeName = nodeNameOf(attributes.user);
      if (nodeName === undefined) return noOpinion('');
      if (nodeName === '') return noOpinion(`unknown node for user ${JSON.stringify(attributes.user.name)}`);
      const decide = decideByResource.get(`${attributes.group}/${attributes.resource}`);
      if (attributes.isResourceRequest && decide !== undefined) return decide(attributes, nodeName);
      return COMMON.some((rule) => ruleAllows(rule, attributes)) ? ALLOW : noOpinion('');
    },
  };
}

function resourceTable(graph: Pick<NodeGraph, 'refersTo'>): ReadonlyMap<string, Decide> {
  const readReferenced =
    (kind: ReferencedKind): Decide =>
    (attributes, node) =>
      decideRead(graph, kind, attributes, node);
  return new Map<string, Decide>([
    ['/secrets', readReferenced('secrets')],
    ['/configmaps', readReferenced('configmaps')],
    ['/persistentvolumeclaims', (attributes, node) => decideClaim(graph, attributes, node)],
    ['/persistentvolumes', (attributes, node) => decideReferred(graph, 'persistentvolumes', attributes, node)],
    ['/serviceaccounts', (attributes, node) => decideServiceAccount(graph, attributes, node)],
    ['/pods', (attributes, node) => decidePod(graph, attributes, node)],
    ['/nodes', decideNode],
    ['coordination.k8s.io/leases', decideLease],
    ['storage.k8s.io/csinodes', decideCsiNode],
    ['resource.k8s.io/resourceclaims', (attributes, node) => decideReferred(graph, 'resourceclaims', attributes, node)],
    ['resource.k8s.io/resourceslices', decideSlices],
  ]);
}

const UNRELATED = (nodeName: string) => noOpinion(`no relationship found between node '${nodeName}' and this object`);

function decideRead(
  graph: Pick<NodeGraph, 'refersTo'>,
  kind: ReferencedKind,
  attributes: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  if (!READ_VERBS.has(attributes.verb) || attributes.subresource !== '') {
    return noOpinion('can only read resources of this type');
  }
  if (attributes.name === '') return noOpinion('No Object name found');
  if (attributes.namespace === '') return noOpinion('can only read namespaced object of this type');
  return graph.refersTo(nodeName, kind, attributes) ? ALLOW : UNRELATED(nodeName);
}

/** Single objects that the pods of a node lead to: volumes, which are cluster-wide and have no namespace to compare, and claims of devices. */
function decideReferred(
  graph: Pick<NodeGraph, 'refersTo'>,
  kind: 'persistentvolumes' | 'resourceclaims',
  { verb, subresource, name, namespace }: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  if (verb !== 'get' || subresource !== '') return noOpinion('can only get individual resources of this type');
  if (name === '') return noOpinion('No Object name found');
  return graph.refersTo(nodeName, kind, { namespace, name }) ? ALLOW : UNRELATED(nodeName);
}

function decideClaim(
  graph: Pick<NodeGraph, 'refersTo'>,
  attributes: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  if (attributes.subresource === '') return decideRead(graph, 'persistentvolumeclaims', attributes, nodeName);
  if (attributes.subresource !== 'status' || !UPDATE_VERBS.has(attributes.verb)) {
    return noOpinion('can only get individual resources of this type, and update their status');
  }
  return graph.refersTo(nodeName, 'persistentvolumeclaims', attributes) ? ALLOW : UNRELATED(nodeName);
}

/** A node acts for the ServiceAccounts of its pods, and for no other: it reads each by name, and asks for its tokens. */
function decideServiceAccount(
  graph: Pick<NodeGraph, 'refersTo'>,
  attributes: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  const { verb, subresource, name, namespace } = attributes;
  const isRead = verb === 'get' && subresource === '';
  const isTokenRequest = verb === 'create' && subresource === 'token';
  if (!(isRead || isTokenRequest) || name === '' || namespace === '')
    return noOpinion('can only get individual service accounts, and create tokens for them');
  return graph.refersTo(nodeName, 'serviceaccounts', { namespace, name }) ? ALLOW : UNRELATED(nodeName);
}

function decidePod(
  graph: Pick<NodeGraph, 'refersTo'>,
  attributes: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  const { verb, subresource, namespace, name, fieldSelector } = attributes;
  switch (subresource) {
    case '':
      break;
    // Admission (NodeRestriction) sees the pod and refuses those of other nodes.
    case 'status':
      return UPDATE_VERBS.has(verb) ? ALLOW : noOpinion('can only update or patch pods/status');
    case 'eviction':
      return verb === 'create' ? ALLOW : noOpinion('can only create pods/eviction');
    default:
      return noOpinion('can only use the status and eviction subresources of pods');
  }
  if (verb === 'create' || verb === 'delete') return ALLOW;
  if (verb === 'get') return graph.refersTo(nodeName, 'pods', { namespace, name }) ? ALLOW : UNRELATED(nodeName);
  if (verb !== 'list' && verb !== 'watch') return noOpinion('');
  return selectedValue(fieldSelector, 'spec.nodeName') === nodeName
    ? ALLOW
    : noOpinion('can only list/watch pods with spec.nodeName field selector');
}

function decideNode({ verb, subresource, name }: AuthorizationAttributes, nodeName: string): AuthorizerDecision {
  // Our extension of Node: the way to it.
  if (subresource === 'tunnel') {
    return name === nodeName && verb === 'get' ? ALLOW : noOpinion(`node '${nodeName}' can only open its own tunnel`);
  }
  if (subresource !== '' && subresource !== 'status') {
    return noOpinion('can only use the status subresource of its own Node');
  }
  // Creation has no name yet; NodeRestriction compares it.
  if (verb === 'create') return ALLOW;
  if (subresource === '' && READ_VERBS.has(verb)) {
    return name === nodeName ? ALLOW : noOpinion(`node '${nodeName}' cannot read '${name}', only its own Node object`);
  }
  if (!UPDATE_VERBS.has(verb)) return noOpinion(`node '${nodeName}' cannot ${verb} Node objects`);
  return name === nodeName ? ALLOW : noOpinion(`node '${nodeName}' cannot write '${name}', only its own Node object`);
}

const COLLECTION_VERBS: ReadonlySet<string> = new Set(['list', 'watch', 'deletecollection']);

/** What drivers of this node have offered. Drivers write under identities of their own. */
function decideSlices(
  { verb, subresource, fieldSelector }: AuthorizationAttributes,
  nodeName: string,
): AuthorizerDecision {
  if (subresource !== '') return noOpinion('cannot authorize ResourceSlice subresources');
  if (!COLLECTION_VERBS.has(verb)) return noOpinion('can only list, watch or delete collections of ResourceSlices');
  return selectedValue(fieldSelector, 'spec.nodeName') === nodeName
    ? ALLOW
    : noOpinion('can only list/watch/deletecollection resourceslices with nodeName field selector');
}

const OWN_OBJECT_VERBS: ReadonlySet<string> = new Set(['get', 'create', 'update', 'patch', 'delete']);

function decideLease(attributes: AuthorizationAttributes, nodeName: string): AuthorizerDecision {
  if (attributes.namespace !== LEASE_NAMESPACE) {
    return noOpinion(`can only access leases in the "${LEASE_NAMESPACE}" system namespace`);
  }
  return decideOwnObject(attributes, nodeName, 'can only access node lease with the same name as the requesting node');
}

function decideCsiNode(attributes: AuthorizationAttributes, nodeName: string): AuthorizerDecision {
  return decideOwnObject(attributes, nodeName, 'can only access CSINode with the same name as the requesting node');
}

function decideOwnObject(
  { verb, subresource, name }: AuthorizationAttributes,
  nodeName: string,
  elsewhere: string,
): AuthorizerDecision {
  if (!OWN_OBJECT_VERBS.has(verb) || subresource !== '') {
    return noOpinion('can only get, create, update, patch, or delete individual objects of this type');
  }
  // Again, a creation is compared by NodeRestriction.
  return verb === 'create' || name === nodeName ? ALLOW : noOpinion(elsewhere);
}
