import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createHttpTransport } from '#api/client/http-transport.ts';
import { isUnreachable } from '#api/client/join-error.ts';
import { parseJoinToken } from '#api/client/join-token.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { fetchPinnedCa } from '#api/client/pinned-ca.ts';
import { API_SERVER_NAME } from '#api/client/server-addresses.ts';
import { ApiError } from '#api/object/api-error.ts';
import { resources, type Secret } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import type { Logger } from '#base/logger.ts';
import { COMPONENT_VERSION } from '#base/version.ts';
import type { Component } from '../components/components.ts';
import type { ControllerConfig } from '../config.ts';
import { ensurePrivateFolder, readFileIfPresent, writeDurableFile } from '../pki/durable-file.ts';
import { bundleSecretName, type JoinBundle, openBundle } from './join-bundle.ts';
import { requiredFiles, settingsProblem, sharedSettingsOf } from './join-files.ts';

export interface JoinOptions {
  readonly config: ControllerConfig;
  readonly components: ReadonlySet<Component>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const CONNECT_TIMEOUT_MS = 10_000;
const CA_FILE = 'pki/ca.crt';

/**
 * Fetches with `config.join` what this process must have of the cluster, where it has not got it yet. Does nothing without a token. Throws
 * ConfigError where a person must act, JoinError where the servers do not answer or are not those of the token.
 */
export async function joinCluster(options: JoinOptions): Promise<void> {
  const { config, components, log } = options;
  if (config.join === '') return;
  if (components.has('apiserver')) refuseOwnStore(config);
  const missing = requiredFiles(components).filter((path) => !existsSync(join(config.dataDir, path)));
  if (missing.length === 0) {
    log.debug('has joined before; the token is not needed any more');
    return;
  }
  const bundle = await fetchBundle(options);
  await refuseStrangers(options, bundle);
  for (const [path, text] of Object.entries(bundle.files)) {
    const target = join(config.dataDir, path);
    await ensurePrivateFolder(dirname(target));
    await writeDurableFile(target, text);
  }
  log.info('joined the cluster', { files: Object.keys(bundle.files) });
}

/** Two API servers of one cluster over two stores would be two clusters that look like one. */
export function refuseOwnStore({ store }: Pick<ControllerConfig, 'store'>): void {
  if (store === 'etcd') return;
  throw new ConfigError(
    'several API servers need one store in common: run all of them with --store etcd --etcd-servers …, or leave apiserver out of --components here',
  );
}

/** Before anything is written: another cluster's files here, or settings that would tear this one apart. */
async function refuseStrangers({ config, components }: JoinOptions, bundle: JoinBundle): Promise<void> {
  const absent = requiredFiles(components).filter((path) => bundle.files[path] === undefined);
  if (absent.length > 0)
    throw new ConfigError(
      `the token was made for ${bundle.components.join(',')} and lacks ${absent.join(', ')}: make one with --components ${[...components].join(',')}`,
    );
  const present = await readFileIfPresent(join(config.dataDir, CA_FILE));
  if (present !== undefined && present.trim() !== bundle.files[CA_FILE]?.trim())
    throw new ConfigError(
      `${config.dataDir} holds the keys of another cluster: name another --data-dir, or remove this one to give that cluster up`,
    );
  const problem = settingsProblem(sharedSettingsOf(config), bundle.settings);
  if (problem !== undefined) throw new ConfigError(`the processes of a cluster must be configured alike: ${problem}`);
}

async function fetchBundle({ config, clock, log, signal }: JoinOptions): Promise<JoinBundle> {
  const parsed = parseJoinToken(config.join);
  if (parsed?.caHash === undefined || parsed.bundleKey === undefined)
    throw new ConfigError(
      'join: this is no token of a controller; make one with "coracle token create --controller" where an API server runs',
    );
  const { token, caHash, bundleKey } = parsed;
  const ca = await findCa(caHash, { config, clock, signal });
  const transport = createHttpTransport({
    servers: config.servers,
    serverName: API_SERVER_NAME,
    ca,
    token,
    userAgent: `coracle-controller/${COMPONENT_VERSION}`,
    clock,
    log,
  });
  try {
    const id = token.slice(0, 6);
    const secrets = createKubeClient(transport).resource<Secret>(resources.secrets);
    const secret = await secrets.fetch(bundleSecretName(id), 'kube-system', signal).catch((err: unknown) => {
      throw explain(err);
    });
    const bundle = openBundle(Buffer.from(secret.data?.bundle ?? '', 'base64'), bundleKey, id);
    if (bundle === undefined) throw new ConfigError('join: the token does not open what waits for it: copy it anew');
    return bundle;
  } finally {
    transport.close();
  }
}

/** The CA that the token pins, of whichever server answers first in their order. */
async function findCa(
  caHash: string,
  { config, clock, signal }: Omit<JoinOptions, 'components' | 'log'>,
): Promise<string> {
  let failure: unknown = new ConfigError('join: name an API server of the cluster with --servers https://<host>:6443');
  for (const server of config.servers) {
    try {
      return await fetchPinnedCa({ server, caHash, nowMs: clock.now(), timeoutMs: CONNECT_TIMEOUT_MS, signal });
    } catch (err) {
      // Another CA than the pinned one is no matter of the next server.
      if (!isUnreachable(err)) throw err;
      failure = err;
    }
  }
  throw failure;
}

function explain(err: unknown): unknown {
  if (!(err instanceof ApiError) || ![401, 403, 404].includes(err.code)) return err;
  return new ConfigError(
    'join: the cluster does not know this token, or it has expired: make a new one with "coracle token create --controller"',
    { cause: err },
  );
}
