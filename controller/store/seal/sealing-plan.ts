import type { CipherName } from './envelope.ts';

export interface KeyFacts {
  readonly cipher: CipherName;
  readonly name: string;
  readonly secret: Uint8Array;
}

/** `ring`: the keys that Coracle makes and rotates itself; `identity`: not sealed. */
export type SealingProvider =
  | { readonly kind: 'ring' }
  | { readonly kind: 'identity' }
  | { readonly kind: 'key'; readonly key: KeyFacts };

export interface SealingRule {
  /** Of storage keys, each with the `/` at its end. */
  readonly prefixes: readonly string[];
  /** The first one seals; all of them open. Not empty. */
  readonly providers: readonly SealingProvider[];
}

/** What is sealed, and under what; plain data, so that it crosses to the disk thread. */
export interface SealingPlan {
  /** File of the keys that Coracle makes itself; see key-ring.ts. */
  readonly ringPath: string;
  /** The first rule that has a prefix of the key decides; without any the value stays open. */
  readonly rules: readonly SealingRule[];
  /** File that some of the rules come from, for messages. */
  readonly configurationName: string | undefined;
}

/** A stored resource of this server, as an EncryptionConfiguration names it. */
export interface StoredResource {
  /** '' for the core group. */
  readonly group: string;
  readonly resource: string;
  /** `/registry/secrets`, without the `/` at its end. */
  readonly storagePrefix: string;
}

/** One entry of an EncryptionConfiguration; see encryption-configuration.ts. */
export interface ConfiguredEncryption {
  readonly resources: readonly string[];
  readonly providers: readonly SealingProvider[];
}

export interface SealingChoice {
  readonly ringPath: string;
  /** Secrets that the configuration does not name are sealed under keys of our own. */
  readonly encryptSecrets: boolean;
  readonly configuration: { readonly name: string; readonly entries: readonly ConfiguredEncryption[] } | undefined;
}

/** Finds the storage keys that belong to the resources named. */
export function planSealing(choice: SealingChoice, resources: readonly StoredResource[]): SealingPlan {
  const { ringPath, encryptSecrets, configuration } = choice;
  const rules = (configuration?.entries ?? []).map(({ resources: names, providers }) => ({
    prefixes: names.flatMap((name) => prefixesOf(name, resources)),
    providers,
  }));
  if (encryptSecrets) {
    rules.push({ prefixes: prefixesOf('secrets', resources), providers: [{ kind: 'ring' }, { kind: 'identity' }] });
  }
  return { ringPath, rules, configurationName: configuration?.name };
}

/**
 * `secrets`, `deployments.apps`, `*.apps`, `*.` (all of the core group), `*.*`. What this server does not know is taken for a custom
 * resource, which lies under its group.
 */
function prefixesOf(name: string, resources: readonly StoredResource[]): string[] {
  const dot = name.indexOf('.');
  const resource = dot < 0 ? name : name.slice(0, dot);
  const group = dot < 0 ? '' : name.slice(dot + 1);
  if (resource === '*' && group === '*') return ['/registry/'];
  const known = resources
    .filter((stored) => stored.group === group && (resource === '*' || stored.resource === resource))
    .map(({ storagePrefix }) => `${storagePrefix}/`);
  if (resource === '*') return group === '' ? known : [...known, `/registry/${group}/`];
  return known.length > 0 ? known : [group === '' ? `/registry/${resource}/` : `/registry/${group}/${resource}/`];
}
