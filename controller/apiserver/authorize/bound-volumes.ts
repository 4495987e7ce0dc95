import type { PersistentVolume } from '#api/object/kinds.ts';

interface SecretRef {
  readonly name?: string;
  readonly namespace?: string;
}

/** Fields of volume sources by which a PersistentVolume names the credentials that a node hands to its driver. */
const SECRET_FIELDS = ['secretRef', 'nodePublishSecretRef', 'nodeStageSecretRef', 'nodeExpandSecretRef'];

/** Which PersistentVolumes belong to which claims, and the Secrets that they name: what a node may read because a pod has the claim. */
export class BoundVolumes {
  /** Claim `namespace/name` by volume. */
  readonly #claims = new Map<string, string>();
  /** Volumes by Secret `namespace/name`. */
  readonly #users = new Map<string, Set<string>>();

  put(volume: PersistentVolume): void {
    const { name } = volume.metadata;
    this.delete(name);
    const { claimRef } = volume.spec ?? {};
    if (claimRef?.name === undefined) return;
    const namespace = claimRef.namespace ?? '';
    this.#claims.set(name, `${namespace}/${claimRef.name}`);
    for (const secret of secretsOf(volume, namespace)) {
      const users = this.#users.get(secret) ?? new Set();
      this.#users.set(secret, users.add(name));
    }
  }

  delete(name: string): void {
    this.#claims.delete(name);
    for (const [secret, users] of this.#users) if (users.delete(name) && users.size === 0) this.#users.delete(secret);
  }

  clear(): void {
    this.#claims.clear();
    this.#users.clear();
  }

  /** `namespace/name`; undefined while the volume belongs to no claim. */
  claimOf(volume: string): string | undefined {
    return this.#claims.get(volume);
  }

  /** Claims of the volumes that name the Secret. */
  claimsUsing(secret: string): readonly string[] {
    return [...(this.#users.get(secret) ?? [])].flatMap((volume) => this.#claims.get(volume) ?? []);
  }
}

/** `namespace/name`; sources without a namespace mean the claim's. */
function secretsOf({ spec }: PersistentVolume, namespace: string): Set<string> {
  const found = new Set<string>();
  for (const source of Object.values(spec ?? {})) {
    if (typeof source !== 'object' || source === null) continue;
    const fields = source as Readonly<Record<string, SecretRef | undefined>>;
    for (const field of SECRET_FIELDS) {
      const { name, namespace: own } = fields[field] ?? {};
      if (name) found.add(`${own || namespace}/${name}`);
    }
  }
  const { secretName, secretNamespace } = spec?.azureFile ?? {};
  if (secretName) found.add(`${secretNamespace || namespace}/${secretName}`);
  return found;
}
