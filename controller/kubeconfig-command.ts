import type { KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { parseServerAddresses } from '#api/client/server-addresses.ts';
import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import { type CertificateSigningRequest, resources } from '#api/object/kinds.ts';
import { delay, systemClock, toTime } from '#base/clock.ts';
import { ConfigError, type ConfigOf, parseConfig } from '#base/config.ts';
import { readAdminKubeconfig } from './admin-kubeconfig.ts';
import { renderKubeconfig } from './pki/kubeconfig.ts';

const FLAGS = {
  user: { type: 'string', default: '', description: 'name of the user; empty means the administrator' },
  groups: { type: 'list', default: [], description: 'groups of the user' },
  servers: {
    type: 'list',
    default: [],
    description: 'addresses of the API servers, the first is used unless --context names another; empty means this one',
  },
  ttlHours: { type: 'number', default: 8760, description: 'hours until the certificate expires' },
} as const;

const SIGNER = 'kubernetes.io/kube-apiserver-client';
const POLL_MS = 200;
const PATIENCE_MS = 30_000;
/** What goes into a kubeconfig unquoted, and into the name of a request. */
const PLAIN_NAME = /^[A-Za-z0-9][A-Za-z0-9@._-]*$/;

export interface KubeconfigCommandOptions {
  readonly argv: readonly string[];
  readonly kubeconfigPath: string;
}

/** `coracle kubeconfig [--servers a,b] [--user name --groups a,b --ttl-hours n]`: what a client needs to act as the administrator, or as somebody else. */
export async function runKubeconfigCommand({ argv, kubeconfigPath }: KubeconfigCommandOptions): Promise<string> {
  const flags = parseConfig(FLAGS, { argv: [...argv], env: {} });
  if (flags.user === '' && flags.groups.length > 0) throw new ConfigError('--groups goes with --user');
  checkFlags(flags);
  const text = readAdminKubeconfig(kubeconfigPath);
  const access = parseKubeconfig(text);
  const { server, otherServers = [], ca: caPem = '' } = access;
  const servers = flags.servers.length > 0 ? parseServerAddresses(flags.servers) : [server, ...otherServers];
  if (flags.user === '') {
    const { cert: certificatePem = '', key: privateKeyPem = '' } = access;
    return flags.servers.length === 0 ? text : renderKubeconfig({ servers, caPem, certificatePem, privateKeyPem });
  }
  const transport = createKubeconfigTransport(access, 'coracle-kubeconfig');
  try {
    const { privateKey, privateKeyPem } = await generateKey();
    const subject = { commonName: flags.user, organizations: flags.groups };
    const request = await renderSigningRequest(privateKey, subject);
    const certificatePem = await obtainCertificate(createKubeClient(transport), request, flags);
    const userName = flags.user.replaceAll(/[^A-Za-z0-9._-]/g, '-');
    return renderKubeconfig({ servers, caPem, certificatePem, privateKeyPem, userName });
  } finally {
    transport.close();
  }
}

function checkFlags({ user, groups, ttlHours }: ConfigOf<typeof FLAGS>): void {
  if (user !== '' && !PLAIN_NAME.test(user)) {
    throw new ConfigError('--user: letters, digits and @._- only, beginning with a letter or digit');
  }
  if (user.startsWith('system:') || groups.some((group) => group.startsWith('system:'))) {
    throw new ConfigError('names that begin with "system:" are those of the cluster itself');
  }
  if (ttlHours * 3600 < 600) throw new ConfigError('--ttl-hours: a certificate lives for at least ten minutes');
}

/** Asked for and approved in the API, where both are audited. */
async function obtainCertificate(
  client: KubeClient,
  requestPem: string,
  { user, ttlHours }: ConfigOf<typeof FLAGS>,
): Promise<string> {
  const requests = client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);
  const created = await requests.create({
    metadata: { generateName: 'kubeconfig-' },
    spec: {
      signerName: SIGNER,
      request: Buffer.from(requestPem).toString('base64'),
      usages: ['client auth', 'digital signature'],
      expirationSeconds: Math.round(ttlHours * 3600),
    },
  });
  const now = toTime(systemClock.now());
  const approved = {
    type: 'Approved',
    status: 'True',
    reason: 'CoracleKubeconfig',
    message: `asked for and approved with "coracle kubeconfig --user ${user}"`,
    lastUpdateTime: now,
  };
  await requests.update({ ...created, status: { conditions: [approved] } }, 'approval');
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += POLL_MS) {
    const { status } = await requests.fetch(created.metadata.name);
    if (status?.certificate) return Buffer.from(status.certificate, 'base64').toString();
    const failed = status?.conditions?.find(({ type }) => type === 'Failed');
    if (failed !== undefined) throw new ConfigError(`the certificate was not signed: ${failed.message}`);
    await delay(systemClock, POLL_MS);
  }
  throw new ConfigError(`nobody signed ${created.metadata.name}: does the controller-manager run?`);
}
