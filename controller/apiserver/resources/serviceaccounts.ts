import { ApiError, conflict } from '#api/object/api-error.ts';
import { type FieldError, invalid, invalidObject, notSupported } from '#api/object/field-error.ts';
import type { ServiceAccount } from '#api/object/kinds.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { toTime } from '#base/clock.ts';
import type { StoredObject } from '../../store/store.ts';
import { defineResource } from '../registry/define-resource.ts';
import type {
  ResourceDefinition,
  SubresourceDefinition,
  SubresourceServices,
  TokenRequestClaims,
} from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, nameColumn } from './printing/columns.ts';

const TOKEN_REQUEST = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' } as const;
const MIN_EXPIRATION_S = 10 * 60;
const MAX_EXPIRATION_S = 2 ** 32;
const DEFAULT_EXPIRATION_S = 60 * 60;
const SERVICE_ACCOUNTS = { group: '', resource: 'serviceaccounts' };

interface TokenRequestSpec {
  audiences?: string[];
  expirationSeconds?: number;
  boundObjectRef?: { kind?: string; apiVersion?: string; name?: string; uid?: string };
}

/** Which kinds a token may be bound to, and where they are stored. */
const BINDABLE: Readonly<Record<string, { resource: string; key(namespace: string, name: string): string }>> = {
  Pod: { resource: 'pods', key: (namespace, name) => `/registry/pods/${namespace}/${name}` },
  Secret: { resource: 'secrets', key: (namespace, name) => `/registry/secrets/${namespace}/${name}` },
  Node: { resource: 'nodes', key: (_, name) => `/registry/minions/${name}` },
};

function validateTokenRequest(spec: TokenRequestSpec): FieldError[] {
  const expiration = spec.expirationSeconds ?? DEFAULT_EXPIRATION_S;
  if (expiration < MIN_EXPIRATION_S) {
    return [invalid('spec.expirationSeconds', expiration, 'may not specify a duration less than 10 minutes')];
  }
  if (expiration > MAX_EXPIRATION_S) {
    return [invalid('spec.expirationSeconds', expiration, 'may not specify a duration larger than 2^32 seconds')];
  }
  const kind = spec.boundObjectRef?.kind;
  if (kind !== undefined && !(kind in BINDABLE)) {
    return [notSupported('spec.boundObjectRef.kind', kind, ['Node', 'Pod', 'Secret'])];
  }
  return [];
}

type Read = (key: string) => StoredObject | undefined;

interface BoundPod {
  metadata: { uid: string };
  spec?: { nodeName?: string; serviceAccountName?: string };
}

/** Resolves the object that the token shall die with; its uid must be the one asked for. */
function resolveBoundObject(
  spec: TokenRequestSpec,
  account: ServiceAccount,
  read: Read,
): TokenRequestClaims['boundObject'] {
  const ref = spec.boundObjectRef;
  if (ref === undefined) return undefined;
  const { kind = '', name = '', uid } = ref;
  const bindable = Object.hasOwn(BINDABLE, kind) ? BINDABLE[kind] : undefined;
  if (bindable === undefined) throw new ApiError(400, 'BadRequest', `cannot bind token to ${kind}`);
  const resource = { group: '', resource: bindable.resource };
  const stored = read(bindable.key(account.metadata.namespace ?? '', name));
  if (stored === undefined)
    throw new ApiError(404, 'NotFound', `${bindable.resource} "${name}" not found`, { name, kind: bindable.resource });
  const object = stored.object() as BoundPod;
  if (uid !== undefined && uid !== '' && uid !== object.metadata.uid) {
    throw conflict(
      resource,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  const bound = { kind, apiVersion: 'v1', name, uid: object.metadata.uid };
  if (kind !== 'Pod') return bound;
  if (object.spec?.serviceAccountName !== account.metadata.name) {
    throw new ApiError(
      400,
      'BadRequest',
      `cannot bind token for serviceaccount "${account.metadata.name}" to pod running with different serviceaccount name.`,
    );
  }
  const nodeName = object.spec?.nodeName;
  if (!nodeName) return bound;
  const node = read(`/registry/minions/${nodeName}`)?.object() as BoundPod | undefined;
  return { ...bound, nodeName, ...(node === undefined ? {} : { nodeUid: node.metadata.uid }) };
}

async function issueToken(
  namespace: string,
  name: string,
  body: KubeObject,
  { services, nowMs }: { readonly services: SubresourceServices; readonly nowMs: number },
): Promise<KubeObject> {
  const spec = (body.spec ?? {}) as TokenRequestSpec;
  const errors = validateTokenRequest(spec);
  if (errors.length > 0) throw invalidObject(TOKEN_REQUEST, name, errors);
  if (services.store.shared !== undefined) await services.store.shared.catchUp();
  const snapshot = services.store.snapshot();
  const account = snapshot.get(`${services.resource.storagePrefix}/${namespace}/${name}`)?.object() as
    | ServiceAccount
    | undefined;
  if (account === undefined) {
    throw new ApiError(404, 'NotFound', `serviceaccounts "${name}" not found`, {
      name,
      kind: SERVICE_ACCOUNTS.resource,
    });
  }
  const boundObject = resolveBoundObject(spec, account, (key) => snapshot.get(key));
  const expirationSeconds = spec.expirationSeconds ?? DEFAULT_EXPIRATION_S;
  const issued = await services.tokens.issue({
    namespace,
    serviceAccount: { name, uid: account.metadata.uid },
    boundObject,
    audiences: spec.audiences ?? [],
    expirationSeconds,
  });
  return {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    metadata: { name, namespace, creationTimestamp: toTime(nowMs) },
    spec: { ...spec, audiences: spec.audiences ?? issued.audiences ?? [], expirationSeconds },
    status: { token: issued.token, expirationTimestamp: toTime(issued.expirationTimestampMs) },
  };
}

/** Secret references carry a name and nothing else. */
function keepSecretNames(account: ServiceAccount): void {
  if (account.secrets !== undefined) account.secrets = account.secrets.map(({ name }) => ({ name }));
}

const token: SubresourceDefinition = {
  name: 'token',
  verbs: ['create'],
  kind: TOKEN_REQUEST,
  async handle(context, services) {
    const body = await services.readBody(context);
    const { namespace, name } = context.info;
    const requestedName = body.metadata?.name;
    if (requestedName !== undefined && requestedName !== name) {
      throw new ApiError(
        400,
        'BadRequest',
        `the name of the object (${requestedName}) does not match the name on the URL (${name})`,
      );
    }
    services.respond(context, 201, await issueToken(namespace, name, body, { services, nowMs: context.receivedAtMs }));
  },
};

export const serviceAccounts: ResourceDefinition = defineResource<ServiceAccount>({
  group: '',
  version: 'v1',
  resource: 'serviceaccounts',
  kind: 'ServiceAccount',
  namespaced: true,
  shortNames: ['sa'],
  subresources: [token],
  prepareForCreate: keepSecretNames,
  prepareForUpdate: keepSecretNames,
  columns: [nameColumn, ageColumn],
  tableRow: (account, nowMs) => [account.metadata.name, age(account, nowMs)],
});
