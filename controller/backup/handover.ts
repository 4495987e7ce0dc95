import { createPublicKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { ConfigError } from '#base/config.ts';
import { readAddressRanges } from '../address-ranges.ts';
import { SERVICE_ACCOUNT_ISSUER } from '../apiserver/authenticate/token-issuer.ts';
import type { ControllerConfig } from '../config.ts';
import { writeDurableFile } from '../pki/durable-file.ts';
import type { RingKey } from '../store/seal/key-ring.ts';
import { BackupError } from './backup-error.ts';

/** Under the names that kubeadm gives them. */
const PKI_FILES = ['ca', 'front-proxy-ca', 'front-proxy-client', 'apiserver', 'apiserver-kubelet-client'] as const;

/**
 * Writes what a real kube-apiserver needs to go on where Coracle stops: keys and certificates, the EncryptionConfiguration, and files with the
 * flags of API server and controller manager. `readKeys`: those of sealed values, the one that seals first. Answers the names of the files.
 * Throws BackupError or ConfigError.
 */
export async function writeHandover(
  folder: string,
  config: ControllerConfig,
  readKeys: () => Promise<readonly RingKey[]>,
): Promise<readonly string[]> {
  const pki = join(config.dataDir, 'pki');
  if (!existsSync(join(pki, 'ca.key')) || !existsSync(join(pki, 'sa.key')))
    throw new BackupError(`${config.dataDir} holds no keys of a cluster: is it the right --data-dir?`);
  if (existsSync(folder)) throw new BackupError(`${folder} is there already: name a folder that is not`);
  const files = new Map<string, string | Uint8Array>();
  for (const name of PKI_FILES) {
    for (const file of [`${name}.crt`, `${name}.key`])
      if (existsSync(join(pki, file))) files.set(`pki/${file}`, await readFile(join(pki, file)));
  }
  const serviceAccountKey = await readFile(join(pki, 'sa.key'), 'utf8');
  files.set('pki/sa.key', serviceAccountKey);
  files.set('pki/sa.pub', createPublicKey(serviceAccountKey).export({ type: 'spki', format: 'pem' }));
  files.set('encryption-configuration.yaml', await encryptionConfiguration(config, await readKeys()));
  files.set('kube-apiserver.flags', renderFlags(apiServerFlags(config)));
  files.set('kube-controller-manager.flags', renderFlags(controllerManagerFlags(config)));
  await mkdir(join(folder, 'pki'), { recursive: true, mode: 0o700 });
  for (const [name, content] of files) await writeDurableFile(join(folder, name), content);
  return [...files.keys()];
}

interface ResourceEntry {
  readonly resources: readonly string[];
  readonly providers: readonly Readonly<Record<string, unknown>>[];
}

/** The user's own entries, each with our keys behind its own, as values may still lie under those; and one for Secrets. */
async function encryptionConfiguration(config: ControllerConfig, keys: readonly RingKey[]): Promise<string> {
  const ours = ringProviders(keys);
  const entries: ResourceEntry[] = [];
  if (config.encryptionProviderConfig !== '') {
    const text = await readFile(config.encryptionProviderConfig, 'utf8').catch((err: Error) => {
      throw new ConfigError(`encryptionProviderConfig: ${err.message}`);
    });
    for (const { resources, providers } of (parse(text) as { resources: readonly ResourceEntry[] }).resources)
      entries.push({ resources, providers: withReaders(providers, ours) });
  }
  const namesSecrets = entries.some(({ resources }) =>
    resources.some((name) => ['secrets', '*.', '*.*'].includes(name)),
  );
  if (!namesSecrets) {
    const identity = { identity: {} };
    entries.push({
      resources: ['secrets'],
      providers: config.encryptSecrets ? [...ours, identity] : [identity, ...ours],
    });
  }
  return stringify({ apiVersion: 'apiserver.config.k8s.io/v1', kind: 'EncryptionConfiguration', resources: entries });
}

function ringProviders(keys: readonly RingKey[]): ResourceEntry['providers'] {
  return keys.length === 0 ? [] : [{ aesgcm: { keys: keys.map(({ name, secret }) => ({ name, secret })) } }];
}

/** The first provider goes on sealing; what opens comes behind it, and what was never sealed last. */
function withReaders(
  providers: ResourceEntry['providers'],
  ours: ResourceEntry['providers'],
): ResourceEntry['providers'] {
  const hasIdentity = providers.some((provider) => 'identity' in provider);
  return [...providers, ...ours, ...(hasIdentity ? [] : [{ identity: {} }])];
}

type Flags = readonly (readonly [name: string, value: string])[];

/** Paths as kubeadm lays them out; the folder's content goes to /etc/kubernetes. */
const PKI = '/etc/kubernetes/pki';

function apiServerFlags(config: ControllerConfig): Flags {
  const etcdServers = config.etcdServers.length > 0 ? config.etcdServers.join(',') : 'https://127.0.0.1:2379';
  const optional = (name: string, value: string): Flags => (value === '' ? [] : [[name, value]]);
  return [
    ...optional('advertise-address', config.advertiseAddress),
    ['secure-port', String(config.port)],
    ['etcd-servers', etcdServers],
    ...optional('etcd-cafile', config.etcdCa),
    ...optional('etcd-certfile', config.etcdCert),
    ...optional('etcd-keyfile', config.etcdKey),
    ['etcd-prefix', config.etcdPrefix],
    ['encryption-provider-config', '/etc/kubernetes/encryption-configuration.yaml'],
    ['service-cluster-ip-range', config.serviceCidr],
    ['service-node-port-range', config.nodePorts],
    ['client-ca-file', `${PKI}/ca.crt`],
    ['tls-cert-file', `${PKI}/apiserver.crt`],
    ['tls-private-key-file', `${PKI}/apiserver.key`],
    ['kubelet-client-certificate', `${PKI}/apiserver-kubelet-client.crt`],
    ['kubelet-client-key', `${PKI}/apiserver-kubelet-client.key`],
    ['kubelet-preferred-address-types', 'InternalIP,ExternalIP,Hostname'],
    ['service-account-issuer', SERVICE_ACCOUNT_ISSUER],
    ['service-account-key-file', `${PKI}/sa.pub`],
    ['service-account-signing-key-file', `${PKI}/sa.key`],
    ['proxy-client-cert-file', `${PKI}/front-proxy-client.crt`],
    ['proxy-client-key-file', `${PKI}/front-proxy-client.key`],
    ['requestheader-client-ca-file', `${PKI}/front-proxy-ca.crt`],
    ['requestheader-allowed-names', 'front-proxy-client'],
    ['requestheader-extra-headers-prefix', 'X-Remote-Extra-'],
    ['requestheader-group-headers', 'X-Remote-Group'],
    ['requestheader-username-headers', 'X-Remote-User'],
    ['authorization-mode', 'Node,RBAC'],
    ['enable-admission-plugins', 'NodeRestriction'],
    ['enable-bootstrap-token-auth', 'true'],
    ['allow-privileged', 'true'],
  ];
}

/** Of dual stack there is a flag for each family; else one for whichever it is. */
function maskSizeFlags(config: ControllerConfig): Flags {
  const { pods } = readAddressRanges(config);
  return pods.map(({ cidr, nodeMaskSize }) => {
    const family = pods.length === 1 ? '' : cidr.includes(':') ? '-ipv6' : '-ipv4';
    return [`node-cidr-mask-size${family}`, String(nodeMaskSize)] as const;
  });
}

function controllerManagerFlags(config: ControllerConfig): Flags {
  return [
    ['allocate-node-cidrs', 'true'],
    ['cluster-cidr', config.clusterCidr],
    ...maskSizeFlags(config),
    ['service-cluster-ip-range', config.serviceCidr],
    ['cluster-signing-cert-file', `${PKI}/ca.crt`],
    ['cluster-signing-key-file', `${PKI}/ca.key`],
    ['root-ca-file', `${PKI}/ca.crt`],
    ['client-ca-file', `${PKI}/ca.crt`],
    ['requestheader-client-ca-file', `${PKI}/front-proxy-ca.crt`],
    ['service-account-private-key-file', `${PKI}/sa.key`],
    ['use-service-account-credentials', 'true'],
    ['controllers', '*,bootstrapsigner,tokencleaner'],
  ];
}

const renderFlags = (flags: Flags): string => flags.map(([name, value]) => `--${name}=${value}\n`).join('');
