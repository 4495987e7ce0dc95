import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import type { ResourceClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { type KubeconfigAccess, parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { ConfigError, parseConfig } from '#base/config.ts';
import {
  bootstrapTokenSecret,
  generateBootstrapToken,
  renderJoinToken,
} from './apiserver/authenticate/bootstrap-token.ts';

const CREATE_FLAGS = {
  ttlHours: { type: 'number', default: 24, description: 'hours until the token expires' },
  output: {
    type: 'string',
    default: 'text',
    oneOf: ['text', 'yaml'],
    description: 'text: the line to run on the new host; yaml: its agent.yaml',
  },
} as const;

const NAMESPACE = 'kube-system';
const NAME_PREFIX = 'bootstrap-token-';

/** `coracle token create|list|delete`, over the API with the administrator's kubeconfig. */
export async function runTokenCommand(argv: readonly string[], kubeconfigPath: string): Promise<void> {
  const [action, ...rest] = argv;
  if (!existsSync(kubeconfigPath))
    throw new ConfigError(`${kubeconfigPath} does not exist: run this where the controller runs, or set KUBECONFIG`);
  const access = parseKubeconfig(readFileSync(kubeconfigPath, 'utf8'));
  const transport = createKubeconfigTransport(access, 'coracle-token');
  const secrets = createKubeClient(transport).resource<Secret>(resources.secrets);
  try {
    switch (action) {
      case 'create':
        return await createToken(secrets, access, rest);
      case 'list':
        return await listTokens(secrets);
      case 'delete':
        return await deleteToken(secrets, rest[0]);
      default:
        throw new ConfigError(`"${action ?? ''}" is not one of create, list, delete; see "coracle token --help"`);
    }
  } finally {
    transport.close();
  }
}

async function createToken(
  secrets: ResourceClient<Secret>,
  access: KubeconfigAccess,
  argv: readonly string[],
): Promise<void> {
  const { ttlHours, output } = parseConfig(CREATE_FLAGS, { argv, env: {} });
  if (ttlHours <= 0) throw new ConfigError(`--ttl-hours: ${ttlHours} is not above 0`);
  const token = generateBootstrapToken();
  await secrets.create(bootstrapTokenSecret(token, { expiresAtMs: systemClock.now() + ttlHours * 3_600_000 }));
  const join = renderJoinToken(token, caHashOf(access));
  console.log(
    output === 'yaml'
      ? `servers: ["${access.server}"]\ntoken: "${join}"`
      : `coracle agent --servers ${access.server} --token ${join}`,
  );
}

async function listTokens(secrets: ResourceClient<Secret>): Promise<void> {
  const { items } = await secrets.fetchList({
    namespace: NAMESPACE,
    fieldSelector: 'type=bootstrap.kubernetes.io/token',
  });
  const rows = items.map((secret) => [
    secret.metadata.name.slice(NAME_PREFIX.length),
    field(secret, 'expiration') || '<never>',
    field(secret, 'description'),
  ]);
  for (const [id, expires, description] of [['ID', 'EXPIRES', 'DESCRIPTION'], ...rows])
    console.log(`${id!.padEnd(8)}${expires!.padEnd(24)}${description}`.trimEnd());
}

async function deleteToken(secrets: ResourceClient<Secret>, id: string | undefined): Promise<void> {
  if (id === undefined || !/^[a-z0-9]{6}(\..*)?$/.test(id))
    throw new ConfigError('name the token by its id, the six characters before the dot');
  await secrets.delete({ namespace: NAMESPACE, name: `${NAME_PREFIX}${id.slice(0, 6)}` });
  console.log(`token ${id.slice(0, 6)} deleted`);
}

const field = (secret: Secret, name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();

function caHashOf({ ca }: KubeconfigAccess): string {
  if (ca === undefined)
    throw new ConfigError('the kubeconfig names no certificate authority, so nodes would have nothing to trust');
  const spki = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}
