import { createHash } from 'node:crypto';
import type { RegistryAuth } from '../../cri/runtime.ts';

/** Where a credential is from, in the words of Kubernetes its coordinates. */
export interface SecretCoordinates {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** A credential that may fit an image. Without a Secret it is the node's own: what it opens is open to all pods of the node. */
export interface PullCredential {
  readonly auth: RegistryAuth;
  readonly secret?: SecretCoordinates;
}

/** A Secret that an image was pulled with, and what was in it. */
export interface SecretUse extends SecretCoordinates {
  /** `credentialHash` of what the registry was shown. */
  readonly hash: string;
}

/** Who may use an image under the name of one repository. */
export interface RepositoryAccess {
  /** Pulled without credentials, or with the node's own: everybody may. */
  readonly everybody: boolean;
  /** Latest last. */
  readonly secrets: readonly SecretUse[];
}

/** By repository with its domain, the latest last. One that is not in it was not seen to be pulled: nobody may, without asking. */
export type ImageAccess = Readonly<Record<string, RepositoryAccess>>;

/** What is kept of one image at most, in both directions; what is dropped costs its owner another pull. */
const MAX_ENTRIES = 100;

const NOBODY: RepositoryAccess = { everybody: false, secrets: [] };

export function credentialHash({ username, password, serverAddress, identityToken }: RegistryAuth): string {
  const parts = JSON.stringify([username, password, serverAddress, identityToken]);
  return createHash('sha256').update(parts).digest('hex');
}

/** The Secrets among credentials, as they are compared and kept. */
export function secretUses(credentials: readonly PullCredential[]): SecretUse[] {
  return credentials.flatMap(({ auth, secret }) =>
    secret === undefined ? [] : [{ ...secret, hash: credentialHash(auth) }],
  );
}

/**
 * The Secret of a pod that opens an image: with a credential that opened it before, wherever that was from, or the same Secret as before,
 * whatever is in it now. Undefined = none. Pure.
 */
export function findEntitled(
  access: RepositoryAccess | undefined,
  secrets: readonly SecretUse[],
): SecretUse | undefined {
  const known = access?.secrets ?? [];
  return secrets.find((one) => known.some((other) => one.hash === other.hash || isSame(one, other)));
}

/** After a pull, or a look that taught something; the same object where that is nothing new. `use` absent = everybody may. Pure. */
export function withAccess(access: ImageAccess, repository: string, use: SecretUse | undefined): ImageAccess {
  const before = access[repository] ?? NOBODY;
  if (before.everybody) return access;
  if (use === undefined) return latest({ ...omit(access, repository), [repository]: { everybody: true, secrets: [] } });
  if (before.secrets.some((one) => isSame(one, use) && one.hash === use.hash)) return access;
  const secrets = [...before.secrets.filter((one) => !isSame(one, use)), use].slice(-MAX_ENTRIES);
  return latest({ ...omit(access, repository), [repository]: { everybody: false, secrets } });
}

const isSame = (one: SecretCoordinates, other: SecretCoordinates) =>
  one.uid === other.uid && one.namespace === other.namespace && one.name === other.name;

const omit = (access: ImageAccess, repository: string): ImageAccess =>
  Object.fromEntries(Object.entries(access).filter(([name]) => name !== repository));

const latest = (access: ImageAccess): ImageAccess => Object.fromEntries(Object.entries(access).slice(-MAX_ENTRIES));
