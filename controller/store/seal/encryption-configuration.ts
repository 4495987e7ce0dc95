import { ConfigError } from '#base/config.ts';
import type { CipherName } from './envelope.ts';
import type { ConfiguredEncryption, SealingProvider } from './sealing-plan.ts';

/**
 * Reads an EncryptionConfiguration (apiserver.config.k8s.io/v1), the same file that kube-apiserver takes, with its rules. Of the providers,
 * aesgcm, aescbc and identity are there; secretbox and kms are refused, because a value that one cannot open is worse than a clear word.
 * `content` is the parsed YAML. Throws ConfigError.
 */
export function parseEncryptionConfiguration(content: unknown, file: string): readonly ConfiguredEncryption[] {
  const root = asMap(content, file, '');
  if (root.kind !== 'EncryptionConfiguration' || root.apiVersion !== 'apiserver.config.k8s.io/v1')
    throw new ConfigError(`${file}: expected kind EncryptionConfiguration of apiserver.config.k8s.io/v1`);
  refuseUnknown(root, ['apiVersion', 'kind', 'resources'], { file, path: '' });
  return asList(root.resources, file, 'resources').map((entry, at) => parseEntry(entry, file, `resources[${at}]`));
}

function parseEntry(value: unknown, file: string, path: string): ConfiguredEncryption {
  const entry = asMap(value, file, path);
  refuseUnknown(entry, ['resources', 'providers'], { file, path });
  const resources = asList(entry.resources, file, `${path}.resources`).map((name, at) =>
    parseResource(name, file, `${path}.resources[${at}]`),
  );
  refuseOverlap(resources, file, `${path}.resources`);
  const providers = asList(entry.providers, file, `${path}.providers`).flatMap((provider, at) =>
    parseProvider(provider, file, `${path}.providers[${at}]`),
  );
  return { resources, providers };
}

function parseResource(value: unknown, file: string, path: string): string {
  if (typeof value !== 'string' || value === '') throw mistake(file, path, 'expected a resource such as "secrets"');
  const [resource, group] = split(value);
  if (value !== value.toLowerCase()) throw mistake(file, path, 'resource name should not contain capital letters');
  if (value === '*')
    throw mistake(
      file,
      path,
      "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources",
    );
  if (group === '*' && resource !== '*')
    throw mistake(file, path, 'encrypting the same resource across groups is not supported');
  if (group === 'extensions')
    throw mistake(file, path, "'extensions' group has been removed and cannot be used for encryption");
  if (group === 'events.k8s.io' || value === 'events')
    throw mistake(file, path, 'Events stay in memory here and are never stored, so there is nothing to encrypt');
  return value;
}

/** Within one entry only: over several, the first one that names a resource wins. */
function refuseOverlap(names: readonly string[], file: string, path: string): void {
  if (new Set(names).size < names.length)
    throw mistake(file, path, 'the same resource cannot be specified multiple times');
  const groups = names.map((name) => split(name)[1]);
  const overlaps = names.some((name, at) => {
    const [resource, group] = split(name);
    if (resource !== '*') return false;
    return group === '*' ? names.length > 1 : groups.some((other, index) => index !== at && other === group);
  });
  if (overlaps)
    throw mistake(
      file,
      path,
      "using overlapping resources such as 'secrets' and '*.' in the same resource list is not allowed as they will be masked",
    );
}

function parseProvider(value: unknown, file: string, path: string): SealingProvider[] {
  const provider = asMap(value, file, path);
  const kinds = Object.keys(provider);
  if (kinds.length > 1) {
    throw mistake(
      file,
      path,
      'more than one provider specified in a single element, should split into different list elements',
    );
  }
  const [kind] = kinds;
  switch (kind) {
    case 'identity':
      return [{ kind: 'identity' }];
    case 'aesgcm':
    case 'aescbc': {
      const { keys } = asMap(provider[kind], file, `${path}.${kind}`);
      return asList(keys, file, `${path}.${kind}.keys`).map((key, at) => ({
        kind: 'key' as const,
        key: { cipher: kind, ...parseKey(key, file, `${path}.${kind}.keys[${at}]`) } satisfies {
          cipher: CipherName;
        } & object,
      }));
    }
    case 'secretbox':
    case 'kms':
      throw mistake(file, path, `the provider "${kind}" is not there in Coracle: use aesgcm, aescbc or identity`);
    default:
      throw mistake(file, path, 'the provider is missing: one of aesgcm, aescbc, identity');
  }
}

function parseKey(value: unknown, file: string, path: string): { name: string; secret: Uint8Array } {
  const { name, secret } = asMap(value, file, path);
  if (typeof name !== 'string' || name === '') throw mistake(file, `${path}.name`, 'is a mandatory field for a key');
  if (name.includes(':')) throw mistake(file, `${path}.name`, `"${name}" must not contain ":"`);
  if (typeof secret !== 'string' || secret === '')
    throw mistake(file, `${path}.secret`, 'is a mandatory field for a key');
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(secret) || secret.length % 4 !== 0)
    throw mistake(file, `${path}.secret`, 'secrets must be base64 encoded');
  const bytes = Uint8Array.from(Buffer.from(secret, 'base64'));
  if (![16, 24, 32].includes(bytes.length))
    throw mistake(
      file,
      `${path}.secret`,
      `secret is not of the expected length, got ${bytes.length}, expected one of [16 24 32]`,
    );
  return { name, secret: bytes };
}

function split(name: string): readonly [resource: string, group: string] {
  const dot = name.indexOf('.');
  return dot < 0 ? [name, ''] : [name.slice(0, dot), name.slice(dot + 1)];
}

function asMap(value: unknown, file: string, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw mistake(file, path, 'expected "key: value" lines');
  return value as Record<string, unknown>;
}

function asList(value: unknown, file: string, path: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw mistake(file, path, 'at least one entry is required');
  return value;
}

function refuseUnknown(
  map: Record<string, unknown>,
  known: readonly string[],
  { file, path }: { readonly file: string; readonly path: string },
): void {
  const unknown = Object.keys(map).find((name) => !known.includes(name));
  if (unknown !== undefined) throw mistake(file, path, `unknown field "${unknown}"`);
}

function mistake(file: string, path: string, message: string): ConfigError {
  return new ConfigError(path === '' ? `${file}: ${message}` : `${file}: ${path}: ${message}`);
}
