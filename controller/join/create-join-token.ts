import { createPublicKey } from 'node:crypto';
import { join } from 'node:path';
import type { KubeClient } from '#api/client/client.ts';
import { renderJoinToken } from '#api/client/join-token.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import type { KubeObject, Stored } from '#api/object/kube-object.ts';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { bootstrapTokenSecret, generateBootstrapToken } from '../apiserver/authenticate/bootstrap-token.ts';
import { COMPONENT_USERS, type Component } from '../components/components.ts';
import type { ControllerConfig } from '../config.ts';
import { generatePrivateKeyPem } from '../pki/certificate-builder.ts';
import { type CertificateAndKey, type ClusterPki, openSigningCa } from '../pki/cluster-pki.ts';
import { readFileIfPresent } from '../pki/durable-file.ts';
import { bundleSecretName, generateBundleKey, type JoinBundle, sealBundle } from './join-bundle.ts';
import {
  type CertifiedComponent,
  certifiedComponents,
  OPTIONAL_FILES,
  requiredFiles,
  sharedSettingsOf,
} from './join-files.ts';
import { refuseOwnStore } from './redeem-join-token.ts';

export interface ControllerTokenOptions {
  /** Acts as the administrator. */
  readonly client: KubeClient;
  /** Of the controller on this machine: its data directory has the keys. */
  readonly config: ControllerConfig;
  readonly components: ReadonlySet<Component>;
  /** Pin of the cluster's CA. */
  readonly caHash: string;
  readonly expiresAtMs: number;
  readonly clock: Clock;
}

const NAMESPACE = 'kube-system';
const CERTIFICATE_LIFE_MS = 365 * 24 * 3_600_000;
const RBAC = 'rbac.authorization.k8s.io';
const ROLES: ResourceInfo = { group: RBAC, version: 'v1', resource: 'roles', kind: 'Role', namespaced: true };
const ROLE_BINDINGS: ResourceInfo = { ...ROLES, resource: 'rolebindings', kind: 'RoleBinding' };

/**
 * A token with which another machine gets the keys of these components, once or often until it expires. The cluster stores them sealed
 * under a key that only the token holds; the token's own user may read that one Secret and nothing else. With the token's Secret, which
 * the token cleaner deletes, everything goes.
 */
export async function createControllerToken(options: ControllerTokenOptions): Promise<string> {
  const { client, caHash, expiresAtMs } = options;
  if (options.components.has('apiserver')) refuseOwnStore(options.config);
  const bundle = await makeBundle(options);
  const token = generateBootstrapToken();
  const [id = ''] = token.split('.');
  const key = generateBundleKey();
  const description = `keys of a controller: ${[...options.components].join(', ')}`;
  const secrets = client.resource<Secret>(resources.secrets);
  const owner = await secrets.create(bootstrapTokenSecret(token, { expiresAtMs, description, groups: [] }));
  const name = bundleSecretName(id);
  const metadata = {
    name,
    namespace: NAMESPACE,
    ownerReferences: [{ apiVersion: 'v1', kind: 'Secret', name: owner.metadata.name, uid: owner.metadata.uid }],
  };
  await secrets.create({
    metadata,
    type: 'coracle.dev/controller-join',
    data: { bundle: Buffer.from(sealBundle(bundle, key, id)).toString('base64') },
  });
  const create = (info: ResourceInfo, fields: object) =>
    client.resource<Stored<KubeObject>>(info).create({ metadata, ...fields });
  await create(ROLES, { rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [name], verbs: ['get'] }] });
  await create(ROLE_BINDINGS, {
    roleRef: { apiGroup: RBAC, kind: 'Role', name },
    subjects: [{ apiGroup: RBAC, kind: 'User', name: `system:bootstrap:${id}` }],
  });
  return renderJoinToken(token, caHash, key);
}

async function makeBundle({ config, components, clock }: ControllerTokenOptions): Promise<JoinBundle> {
  const { dataDir } = config;
  const ca = await openSigningCa({ dir: join(dataDir, 'pki'), clock });
  if (ca === undefined)
    throw new ConfigError(`${dataDir} holds no key of the CA: run this as root on a machine with an API server`);
  const files: Record<string, string> = {};
  for (const component of certifiedComponents(components)) {
    const pair = await issuePair(ca, component);
    files[`pki/${component}.crt`] = pair.certificatePem;
    files[`pki/${component}.key`] = pair.privateKeyPem;
  }
  const optional = components.has('apiserver') ? OPTIONAL_FILES : [];
  for (const path of [...requiredFiles(components), ...optional].filter((path) => files[path] === undefined)) {
    const text = await readFileIfPresent(join(dataDir, path));
    if (text !== undefined) files[path] = text;
    else if (!optional.includes(path)) throw new ConfigError(`${join(dataDir, path)} does not exist`);
  }
  return { components: [...components], settings: sharedSettingsOf(config), files };
}

async function issuePair(
  ca: Pick<ClusterPki, 'signCertificate'>,
  component: CertifiedComponent,
): Promise<CertificateAndKey> {
  const privateKeyPem = await generatePrivateKeyPem();
  const certificatePem = await ca.signCertificate({
    subject: { commonName: COMPONENT_USERS[component], organizations: [] },
    publicKey: createPublicKey(privateKeyPem),
    usages: ['client auth', 'digital signature'],
    durationMs: CERTIFICATE_LIFE_MS,
  });
  return { certificatePem, privateKeyPem };
}
