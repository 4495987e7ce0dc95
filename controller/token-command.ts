import { createHash, X509Certificate } from 'node:crypto';
import type { ResourceClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { type KubeconfigAccess, parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { ConfigError, type ConfigOf, parseConfig, refuseArguments } from '#base/config.ts';
import { readAdminKubeconfig } from './admin-kubeconfig.ts';
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

type Action = (secrets: ResourceClient<Secret>, access: KubeconfigAccess) => Promise<void>;

/** `coracle token create|list|delete`, over the API with the administrator's kubeconfig. */
export async function runTokenCommand(argv: readonly string[], kubeconfigPath: string): Promise<void> {
  // A mistake on the command line is told before anything else is looked for.
  const act = parseAction(argv);
  const access = parseKubeconfig(readAdminKubeconfig(kubeconfigPath));
  const transport = createKubeconfigTransport(access, 'coracle-token');
  try {
    await act(createKubeClient(transport).resource<Secret>(resources.secrets), access);
  } finally {
    transport.close();
  }
}

function parseAction([name, ...rest]: readonly string[]): Action {
  switch (name) {
    case 'create': {
      const flags = parseConfig(CREATE_FLAGS, { argv: rest, env: {} });
      if (flags.ttlHours <= 0) throw new ConfigError(`--ttl-hours: ${flags.ttlHours} is not above 0`);
      return (secrets, access) => createToken(secrets, access, flags);
    }
    case 'list':
      refuseArguments(rest);
      return listTokens;
    case 'delete': {
      const [id, ...more] = rest;
      refuseArguments(more);
      if (id === undefined || !/^[a-z0-9]{6}(\..*)?$/.test(id))
        throw new ConfigError('name the token by its id, the six characters before the dot');
      return (secrets) => deleteToken(secrets, id.slice(0, 6));
    }
    default:
      throw new ConfigError(
        `${name === undefined ? 'the action is missing' : `unknown action "${name}"`}: create, list or delete; see "coracle token --help"`,
      );
  }
}

async function createToken(
  secrets: ResourceClient<Secret>,
  access: KubeconfigAccess,
  { ttlHours, output }: ConfigOf<typeof CREATE_FLAGS>,
): Promise<void> {
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

async function deleteToken(secrets: ResourceClient<Secret>, id: string): Promise<void> {
  await secrets.delete({ namespace: NAMESPACE, name: `${NAME_PREFIX}${id}` });
  console.log(`token ${id} deleted`);
}

const field = (secret: Secret, name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();

function caHashOf({ ca }: KubeconfigAccess): string {
  if (ca === undefined)
    throw new ConfigError('the kubeconfig names no certificate authority, so nodes would have nothing to trust');
  const spki = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}
