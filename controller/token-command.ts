import { createHash, X509Certificate } from 'node:crypto';
import type { KubeClient } from '#api/client/client.ts';
import { renderJoinToken } from '#api/client/join-token.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { type KubeconfigAccess, parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import { systemClock } from '#base/clock.ts';
import { ConfigError, type ConfigOf, flagOf, parseConfig, refuseArguments } from '#base/config.ts';
import { agentRanges } from './address-ranges.ts';
import { readAdminKubeconfig } from './admin-kubeconfig.ts';
import { bootstrapTokenSecret, generateBootstrapToken } from './apiserver/authenticate/bootstrap-token.ts';
import { COMPONENTS, type Component, parseComponents } from './components/components.ts';
import type { ControllerConfig } from './config.ts';
import { createControllerToken } from './join/create-join-token.ts';
import { fetchServerTimeMs } from './server-time.ts';

const CREATE_FLAGS = {
  ttlHours: { type: 'number', default: 24, description: 'hours until the token expires' },
  output: {
    type: 'string',
    default: 'text',
    oneOf: ['text', 'yaml'],
    description: 'text: the line to run on the new host; yaml: its agent.yaml or controller.yaml',
  },
  controller: { type: 'boolean', default: false, description: 'for another controller instead of nodes' },
  components: {
    type: 'list',
    default: COMPONENTS,
    description: 'what the other controller runs, and so which keys it gets',
  },
} as const;

const NAMESPACE = 'kube-system';
const NAME_PREFIX = 'bootstrap-token-';

interface Session {
  readonly client: KubeClient;
  readonly access: KubeconfigAccess;
  readonly loadControllerConfig: () => Promise<ControllerConfig>;
}

type Action = (session: Session) => Promise<void>;

export interface TokenCommandOptions {
  readonly argv: readonly string[];
  readonly kubeconfigPath: string;
  /** Of the controller on this machine. */
  readonly loadControllerConfig: () => Promise<ControllerConfig>;
}

/** `coracle token create|list|delete`, over the API with the administrator's kubeconfig. */
export async function runTokenCommand(options: TokenCommandOptions): Promise<void> {
  const { argv, kubeconfigPath, loadControllerConfig } = options;
  // A mistake on the command line is told before anything else is looked for.
  const act = parseAction(argv);
  const access = parseKubeconfig(readAdminKubeconfig(kubeconfigPath));
  const transport = createKubeconfigTransport(access, 'coracle-token');
  try {
    await act({ client: createKubeClient(transport), access, loadControllerConfig });
  } finally {
    transport.close();
  }
}

function parseAction([name, ...rest]: readonly string[]): Action {
  switch (name) {
    case 'create': {
      const flags = parseConfig(CREATE_FLAGS, { argv: rest, env: {} });
      if (flags.ttlHours <= 0) throw new ConfigError(`--ttl-hours: ${flags.ttlHours} is not above 0`);
      const components = parseComponents(flags.components);
      return flags.controller
        ? (session) => createTokenForController(session, flags, components)
        : (session) => createToken(session, flags);
    }
    case 'list':
      refuseArguments(rest);
      return listTokens;
    case 'delete': {
      const [id, ...more] = rest;
      refuseArguments(more);
      if (id === undefined || !/^[a-z0-9]{6}(\..*)?$/.test(id))
        throw new ConfigError('name the token by its id, the six characters before the dot');
      return (session) => deleteToken(session, id.slice(0, 6));
    }
    default:
      throw new ConfigError(
        `${name === undefined ? 'the action is missing' : `unknown action "${name}"`}: create, list or delete; see "coracle token --help"`,
      );
  }
}

type CreateFlags = ConfigOf<typeof CREATE_FLAGS>;

const secretsOf = ({ client }: Session) => client.resource<Secret>(resources.secrets);

/** By the server's clock, which judges it: this host's may stand in 1970. */
async function expiryOf({ client }: Session, { ttlHours }: CreateFlags): Promise<number> {
  return ((await fetchServerTimeMs(client)) ?? systemClock.now()) + ttlHours * 3_600_000;
}

async function createToken(session: Session, flags: CreateFlags): Promise<void> {
  const { access } = session;
  const token = generateBootstrapToken();
  await secretsOf(session).create(bootstrapTokenSecret(token, { expiresAtMs: await expiryOf(session, flags) }));
  const join = renderJoinToken(token, caHashOf(access));
  // Away from the controller its configuration is not to be had, nor needed for a token.
  const config = await session.loadControllerConfig().catch(() => undefined);
  const ranges = config === undefined ? [] : agentRanges(config);
  console.log(
    flags.output === 'yaml'
      ? [
          `servers: ["${access.server}"]`,
          `token: "${join}"`,
          ...ranges.map(([key, value]) => `${key}: "${value}"`),
        ].join('\n')
      : [
          `coracle agent --servers ${access.server} --token ${join}`,
          ...ranges.map(([key, value]) => `${flagOf(key)} ${value}`),
        ].join(' '),
  );
}

async function createTokenForController(
  session: Session,
  flags: CreateFlags,
  components: ReadonlySet<Component>,
): Promise<void> {
  const { client, access, loadControllerConfig } = session;
  const join = await createControllerToken({
    client,
    config: await loadControllerConfig(),
    components,
    caHash: caHashOf(access),
    expiresAtMs: await expiryOf(session, flags),
    clock: systemClock,
  });
  const names = [...components];
  console.log(
    flags.output === 'yaml'
      ? `components: [${names.join(', ')}]\nservers: ["${access.server}"]\njoin: "${join}"`
      : `coracle controller --components ${names.join(',')} --servers ${access.server} --join ${join}`,
  );
}

async function listTokens(session: Session): Promise<void> {
  const { items } = await secretsOf(session).fetchList({
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

async function deleteToken(session: Session, id: string): Promise<void> {
  await secretsOf(session).delete({ namespace: NAMESPACE, name: `${NAME_PREFIX}${id}` });
  console.log(`token ${id} deleted`);
}

const field = (secret: Secret, name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();

/** `sha256:<hex>` over the public key of the cluster's CA: what a join token pins. */
function caHashOf({ ca }: KubeconfigAccess): string {
  if (ca === undefined)
    throw new ConfigError('the kubeconfig names no certificate authority, so nodes would have nothing to trust');
  const spki = new X509Certificate(ca).publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}
