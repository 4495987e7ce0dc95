import { EnvelopeKey, isSealed, sealedUnder } from './envelope.ts';
import type { KeyFacts, SealingPlan } from './sealing-plan.ts';

/** Between plain values in memory and what lies in the store; what is named is the storage key, `/registry/secrets/...`. */
export interface ValueSealer {
  /** The value as it is to be stored: `plain` itself where the plan leaves the resource open. Throws where a key cannot be had. */
  seal(key: string, plain: Uint8Array): Uint8Array;
  /** Canonical JSON of what is stored: `stored` itself where it was not sealed. Throws `SealError`. */
  open(key: string, stored: Uint8Array): Uint8Array;
  /** False where `seal` would now do otherwise: under a newer key, or leave it open. */
  isCurrent(key: string, stored: Uint8Array): boolean;
}

/** The keys that Coracle makes itself. */
export interface SealingKeys {
  /** The key that `use` would answer now, undefined where none was made yet. */
  readonly newest: EnvelopeKey | undefined;
  find(cipher: string, name: string): EnvelopeKey | undefined;
  /** The key for one sealing; throws where that cannot be accounted for. */
  use(): EnvelopeKey;
}

/** A value that does not open. The message names cause and cure. */
export class SealError extends Error {
  override readonly name = 'SealError';
}

/** Seals as the plan says; keys that the ring makes meanwhile are used at once. */
export class PlannedSealer implements ValueSealer {
  readonly #plan: SealingPlan;
  readonly #ring: SealingKeys;
  readonly #foreign = new Map<string, EnvelopeKey>();

  constructor(plan: SealingPlan, ring: SealingKeys) {
    this.#plan = plan;
    this.#ring = ring;
    for (const { providers } of plan.rules)
      for (const provider of providers)
        if (provider.kind === 'key') this.#foreign.set(idOf(provider.key), new EnvelopeKey(provider.key));
  }

  seal(key: string, plain: Uint8Array): Uint8Array {
    const writer = this.#providerOf(key);
    if (writer === undefined) return plain;
    return (writer === 'ring' ? this.#ring.use() : writer).seal(key, plain);
  }

  open(key: string, stored: Uint8Array): Uint8Array {
    if (!isSealed(stored)) return stored;
    const { cipher, keyName } = sealedUnder(stored);
    const candidates = [this.#foreign.get(idOf({ cipher, name: keyName })), this.#ring.find(cipher, keyName)];
    const known = candidates.filter((candidate) => candidate !== undefined);
    let cause: unknown;
    for (const candidate of known) {
      try {
        return candidate.open(key, stored);
      } catch (err) {
        cause = err;
      }
    }
    throw new SealError(this.#explain(key, { cipher, keyName, isKnown: known.length > 0 }), { cause });
  }

  isCurrent(key: string, stored: Uint8Array): boolean {
    const writer = this.#providerOf(key);
    if (writer === undefined) return !isSealed(stored);
    return (writer === 'ring' ? this.#ring.newest : writer)?.matches(stored) ?? false;
  }

  /** Undefined: the value stays open. */
  #providerOf(key: string): EnvelopeKey | 'ring' | undefined {
    for (const { prefixes, providers } of this.#plan.rules) {
      for (const prefix of prefixes) {
        if (!key.startsWith(prefix)) continue;
        const [first] = providers;
        if (first?.kind === 'key') return this.#foreign.get(idOf(first.key));
        return first?.kind === 'ring' ? 'ring' : undefined;
      }
    }
    return undefined;
  }

  #explain(key: string, found: { cipher: string; keyName: string; isKnown: boolean }): string {
    const { cipher, keyName, isKnown } = found;
    const { ringPath, configurationName } = this.#plan;
    const places = configurationName === undefined ? ringPath : `${configurationName} or ${ringPath}`;
    if (isKnown) {
      return (
        `${key} is sealed under the key "${keyName}", but does not open with the one of that name in ${places}: ` +
        'either that is another key, then put back the one that was there when the value was written; or the value was changed ' +
        'or moved outside of Coracle, then restore a backup'
      );
    }
    if (cipher !== 'aesgcm' && cipher !== 'aescbc')
      return `${key} is sealed by the provider "${cipher}", which Coracle does not have: it opens aesgcm and aescbc`;
    return (
      `${key} is sealed under the ${cipher} key "${keyName}", which is not in ${places}: put the file with the key back, ` +
      'from a copy or a backup, or name the key in the file that encryptionProviderConfig points at'
    );
  }
}

function idOf({ cipher, name }: Pick<KeyFacts, 'name'> & { readonly cipher: string }): string {
  return `${cipher}:${name}`;
}
