import { isJsonObject } from '#api/object/json.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../../host/host.ts';
import { parseDurationMs } from '../eviction/thresholds.ts';
import type { PullCredential } from './image-access.ts';
import { formatImageReference, type ImageReference } from './image-reference.ts';
import { type DockerAuths, matchingAuths } from './registry-credentials.ts';

/** One entry of a `CredentialProviderConfig`. */
export interface CredentialProvider {
  readonly name: string;
  /** `*.dkr.ecr.*.amazonaws.com`, `registry.example:8080/team` */
  readonly matchImages: readonly string[];
  readonly defaultCacheDurationMs: number;
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
}

export interface CredentialPluginsOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  readonly binDir: string;
  readonly providers: readonly CredentialProvider[];
}

const VERSIONS = ['credentialprovider.kubelet.k8s.io/v1', 'credentialprovider.kubelet.k8s.io/v1beta1'];
const TIMEOUT_MS = 60_000;

/** The configuration of the plug-ins cannot be used. */
class CredentialConfigError extends Error {
  override readonly name = 'CredentialConfigError';
}

/** Reads a decoded `CredentialProviderConfig` of kubelet.config.k8s.io. Throws CredentialConfigError. */
export function parseCredentialConfig(value: unknown): CredentialProvider[] {
  if (!isJsonObject(value) || value.kind !== 'CredentialProviderConfig' || !Array.isArray(value.providers))
    throw new CredentialConfigError('is not a CredentialProviderConfig with providers');
  return value.providers.map((provider) => {
    const {
      name,
      matchImages,
      defaultCacheDuration = '0s',
      apiVersion,
      args = [],
      env = [],
      tokenAttributes,
    } = isJsonObject(provider) ? provider : {};
    if (typeof name !== 'string' || name === '' || name.includes('/'))
      throw new CredentialConfigError('a provider needs a name, which is that of its program');
    if (!Array.isArray(matchImages) || matchImages.length === 0)
      throw new CredentialConfigError(`provider ${name} needs matchImages`);
    if (!VERSIONS.includes(String(apiVersion)))
      throw new CredentialConfigError(`provider ${name} needs an apiVersion: ${VERSIONS.join(' or ')}`);
    // It would be called without what it works with, and say something else of it each time.
    if (tokenAttributes !== undefined)
      throw new CredentialConfigError(
        `provider ${name}: tokens of service accounts (tokenAttributes) are not there yet`,
      );
    return {
      name,
      matchImages: matchImages.map(String),
      defaultCacheDurationMs: parseDurationMs(String(defaultCacheDuration)),
      apiVersion: String(apiVersion),
      args: (args as unknown[]).map(String),
      env: (env as { name: string; value: string }[]).map((one) => ({ name: one.name, value: one.value })),
    };
  });
}

interface Cached {
  readonly auths: DockerAuths;
  /** By the monotonic clock. */
  readonly untilMs: number;
}

/** Asks programs of the host for credentials, as the kubelet does for the registries of clouds. */
export class CredentialPlugins {
  readonly #options: CredentialPluginsOptions;
  readonly #cache = new Map<string, Cached>();

  constructor(options: CredentialPluginsOptions) {
    this.#options = options;
  }

  /** Of all plug-ins that an image is for; one that fails is passed over. */
  async credentials(image: ImageReference): Promise<PullCredential[]> {
    const found: PullCredential[] = [];
    for (const provider of this.#options.providers) {
      if (!provider.matchImages.some((pattern) => isForImage(pattern, image))) continue;
      try {
        found.push(...matchingAuths(await this.#auths(provider, image), image));
      } catch (err) {
        this.#options.log.warn('a credential plug-in failed', { plugin: provider.name, err: describeError(err) });
      }
    }
    return found;
  }

  async #auths(provider: CredentialProvider, image: ImageReference): Promise<DockerAuths> {
    const { exec, clock, binDir } = this.#options;
    const name = formatImageReference(image);
    const keys = [`${provider.name} ${name}`, `${provider.name} ${image.domain}`, `${provider.name} *`];
    for (const key of keys) {
      const cached = this.#cache.get(key);
      if (cached !== undefined && cached.untilMs > clock.monotonic()) return cached.auths;
    }
    const request = { apiVersion: provider.apiVersion, kind: 'CredentialProviderRequest', image: name };
    const environment = provider.env.map((one) => `${one.name}=${one.value}`);
    const argv: [string, ...string[]] = ['env', ...environment, `${binDir}/${provider.name}`, ...provider.args];
    const { stdout } = await exec.run(argv, { stdin: JSON.stringify(request), timeoutMs: TIMEOUT_MS });
    const answer: unknown = JSON.parse(stdout);
    if (
      !isJsonObject(answer) ||
      answer.kind !== 'CredentialProviderResponse' ||
      answer.apiVersion !== provider.apiVersion
    )
      throw new Error(`the answer is no CredentialProviderResponse of ${provider.apiVersion}`);
    const auths = isJsonObject(answer.auth) ? answer.auth : {};
    const scope = { Image: 0, Registry: 1, Global: 2 }[String(answer.cacheKeyType)];
    if (scope === undefined) throw new Error(`unknown cacheKeyType ${JSON.stringify(answer.cacheKeyType)}`);
    const lifeMs =
      typeof answer.cacheDuration === 'string'
        ? parseDurationMs(answer.cacheDuration)
        : provider.defaultCacheDurationMs;
    if (lifeMs > 0) this.#cache.set(keys[scope]!, { auths, untilMs: clock.monotonic() + lifeMs });
    return auths;
  }
}

/** Host by host name element, port alike, path as a prefix. */
function isForImage(pattern: string, image: ImageReference): boolean {
  const [host = '', ...path] = pattern.split('/');
  const [name = '', port] = host.split(':');
  const [imageName = '', imagePort] = image.domain.split(':');
  const parts = name.split('.');
  const imageParts = imageName.split('.');
  const glob = (part: string) => new RegExp(`^${part.replace(/[\\^$+?.()[\]{}|]/g, '\\$&').replaceAll('*', '[^.]*')}$`);
  const isHost = parts.length === imageParts.length && parts.every((part, at) => glob(part).test(imageParts[at] ?? ''));
  return isHost && port === imagePort && image.repository.startsWith(path.join('/'));
}
