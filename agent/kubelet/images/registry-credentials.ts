import { isJsonObject } from '#api/object/json.ts';
import type { Secret } from '#api/object/kinds.ts';
import type { RegistryAuth } from '../../cri/runtime.ts';
import type { PullCredential, SecretCoordinates } from './image-access.ts';
import type { ImageReference } from './image-reference.ts';

interface Entry {
  readonly host: string;
  readonly path: string;
  readonly credential: PullCredential;
}

/** Credentials of pull secrets that fit an image, the most specific first. Secrets that cannot be read are passed over, as in Kubernetes. */
export function registryCredentials(secrets: readonly Secret[], image: ImageReference): PullCredential[] {
  return best(secrets.flatMap(entriesOf), image);
}

/** The `auths` of a docker configuration: credentials by server. */
export type DockerAuths = Readonly<Record<string, unknown>>;

/** Those of a docker configuration that fit, best first. */
export function matchingAuths(auths: DockerAuths, image: ImageReference): PullCredential[] {
  return best(entriesFrom(auths), image);
}

/** `{"auths": {...}}`, as `docker login` writes it; what cannot be read is passed over. */
export function dockerAuths(text: string): DockerAuths {
  const parsed = parseJsonText(text);
  return isJsonObject(parsed) && isJsonObject(parsed.auths) ? parsed.auths : {};
}

function best(entries: readonly Entry[], image: ImageReference): PullCredential[] {
  return entries
    .filter((entry) => isMatch(entry, image))
    .sort((a, b) => b.path.length - a.path.length || b.host.length - a.host.length)
    .map(({ credential }) => credential);
}

function entriesOf(secret: Secret): Entry[] {
  const encoded = secret.data?.['.dockerconfigjson'];
  const legacy = secret.data?.['.dockercfg'];
  const parsed = parseJson(encoded ?? legacy);
  const auths = encoded === undefined ? parsed : isJsonObject(parsed) ? parsed.auths : undefined;
  const { uid, namespace = '', name } = secret.metadata;
  return isJsonObject(auths) ? entriesFrom(auths, { uid, namespace, name }) : [];
}

function entriesFrom(auths: DockerAuths, secret?: SecretCoordinates): Entry[] {
  return Object.entries(auths).flatMap(([server, value]) => {
    const auth = isJsonObject(value) ? authOf(server, value) : undefined;
    if (auth === undefined) return [];
    return [{ ...splitServer(server), credential: secret === undefined ? { auth } : { auth, secret } }];
  });
}

function parseJson(base64: string | undefined): unknown {
  return base64 === undefined ? undefined : parseJsonText(Buffer.from(base64, 'base64').toString('utf8'));
}

function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}

function authOf(serverAddress: string, value: Readonly<Record<string, unknown>>): RegistryAuth | undefined {
  const text = (key: string) => (typeof value[key] === 'string' ? value[key] : '');
  const pair = Buffer.from(text('auth'), 'base64').toString('utf8');
  const colon = pair.indexOf(':');
  const username = text('username') || pair.slice(0, Math.max(colon, 0));
  const password = text('password') || (colon < 0 ? '' : pair.slice(colon + 1));
  const identityToken = text('identitytoken');
  if (username === '' && identityToken === '') return undefined;
  return { username, password, serverAddress, identityToken };
}

/** `https://index.docker.io/v1/` and `registry.example/team` alike. */
function splitServer(server: string): { host: string; path: string } {
  const bare = server.replace(/^https?:\/\//, '').replace(/\/+$/, '');
  const [host = '', ...rest] = bare.split('/');
  const path = rest.join('/').replace(/^v[12]$/, '');
  return { host: host === 'index.docker.io' ? 'docker.io' : host, path };
}

function isMatch({ host, path }: Entry, image: ImageReference): boolean {
  const pattern = new RegExp(`^${host.split('.').map(globElement).join('\\.')}$`);
  if (!pattern.test(image.domain)) return false;
  return path === '' || image.repository === path || image.repository.startsWith(`${path}/`);
}

/** `*` stands for characters within one element of a host name. */
const globElement = (element: string) => element.replace(/[\\^$+?()[\]{}|]/g, '\\$&').replaceAll('*', '[^.]*');
