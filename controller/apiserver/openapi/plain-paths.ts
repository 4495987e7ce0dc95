import { CONTENT_TYPES } from '../handlers/negotiation.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { Operation } from './operation.ts';
import { groupName } from './operation-name.ts';
import { API_GROUP, API_GROUP_LIST, API_VERSIONS, VERSION_INFO } from './type-schema.ts';

/** A path that belongs to no group and version; Kubernetes gives each a document of its own in v3. */
export interface PlainPath {
  /** Name of the v3 document. */
  readonly root: string;
  readonly path: string;
  readonly get: Operation;
}

const JSON_TYPES = [CONTENT_TYPES.json];
const DISCOVERY_TYPES = [CONTENT_TYPES.json, CONTENT_TYPES.yaml, CONTENT_TYPES.protobuf];

const plain = (root: string, operation: Pick<Operation, 'id' | 'tag' | 'description'> & Partial<Operation>) => ({
  root,
  path: `/${root}/`,
  get: { query: [], produces: DISCOVERY_TYPES, codes: [200], answer: undefined, ...operation },
});

const FIXED: readonly PlainPath[] = [
  plain('.well-known/openid-configuration', {
    id: 'getServiceAccountIssuerOpenIDConfiguration',
    tag: 'WellKnown',
    description: 'How tokens of ServiceAccounts are verified, as OpenID Connect tells it',
    produces: JSON_TYPES,
  }),
  plain('api', {
    id: 'getCoreAPIVersions',
    tag: 'core',
    description: 'List the versions of the core group',
    answer: API_VERSIONS,
  }),
  plain('apis', { id: 'getAPIVersions', tag: 'apis', description: 'List the groups', answer: API_GROUP_LIST }),
  plain('openid/v1/jwks', {
    id: 'getServiceAccountIssuerOpenIDKeyset',
    tag: 'openid',
    description: 'The public keys that tokens of ServiceAccounts are signed with',
    produces: ['application/jwk-set+json'],
  }),
  plain('version', {
    id: 'getCodeVersion',
    tag: 'version',
    description: 'The version of the server',
    produces: JSON_TYPES,
    answer: VERSION_INFO,
  }),
];

/** Those of a server with these kinds: each group of its own has one; of custom groups Kubernetes tells the versions alone. */
export function plainPaths(definitions: readonly ResourceDefinition[]): readonly PlainPath[] {
  const groups = new Set(definitions.flatMap(({ group, openApi }) => (group === '' || openApi ? [] : group)));
  return [
    ...FIXED,
    ...[...groups].map((group) => {
      const { prefix, tag } = groupName(group);
      const description = 'Tell the versions of this group';
      return plain(`apis/${group}`, { id: `get${prefix}APIGroup`, tag, description, answer: API_GROUP });
    }),
  ];
}
