import { hash, randomInt, timingSafeEqual } from 'node:crypto';
import { ApiError, unauthorized } from '#api/object/api-error.ts';
import type { Secret } from '#api/object/kinds.ts';
import { type Clock, toTime } from '#base/clock.ts';
import type { Store } from '../../store/store.ts';
import type { PromptTokenVerifier } from './bearer-token.ts';

const TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz0123456789';
const AGENT_GROUP = 'system:bootstrappers:coracle:agents';
const EXTRA_GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;

export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
}

/** Parts of `<id>.<secret>`; undefined when the text is no bootstrap token. */
function parseBootstrapToken(token: string): BootstrapToken | undefined {
  const match = TOKEN.exec(token);
  return match === null ? undefined : { id: match[1]!, secret: match[2]! };
}

function randomText(length: number): string {
  return Array.from({ length }, () => ALPHABET[randomInt(ALPHABET.length)]).join('');
}

/** A new random token, `<id>.<secret>`. */
export function generateBootstrapToken(): string {
  return `${randomText(6)}.${randomText(16)}`;
}

export interface BootstrapTokenOptions {
  /** Undefined = it never expires. */
  readonly expiresAtMs: number | undefined;
  readonly description?: string;
  /** Groups of whoever shows it, beside `system:bootstrappers`. Default: those of nodes that join. */
  readonly groups?: readonly string[];
}

/** The Secret that makes `token` valid; create it in kube-system. Throws when the token is malformed. */
export function bootstrapTokenSecret(
  token: string,
  { expiresAtMs, description, groups = [AGENT_GROUP] }: BootstrapTokenOptions,
) {
  const parsed = parseBootstrapToken(token);
  if (parsed === undefined) throw new Error('a bootstrap token has the form [a-z0-9]{6}.[a-z0-9]{16}');
  const plain: Record<string, string> = {
    'token-id': parsed.id,
    'token-secret': parsed.secret,
    'usage-bootstrap-authentication': 'true',
    'usage-bootstrap-signing': 'true',
    ...(groups.length === 0 ? {} : { 'auth-extra-groups': groups.join(',') }),
    ...(description === undefined ? {} : { description }),
    ...(expiresAtMs === undefined ? {} : { expiration: toTime(expiresAtMs) }),
  };
  return {
    apiVersion: 'v1' as const,
    kind: 'Secret' as const,
    metadata: { name: `bootstrap-token-${parsed.id}`, namespace: 'kube-system' },
    type: 'bootstrap.kubernetes.io/token',
    data: Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, Buffer.from(value).toString('base64')])),
  };
}

/** Hashed first, so that unequal lengths tell nothing either. */
function isSameSecret(a: string, b: string): boolean {
  return timingSafeEqual(hash('sha256', a, 'buffer'), hash('sha256', b, 'buffer'));
}

const fieldOf = (secret: Secret, name: string): string => Buffer.from(secret.data?.[name] ?? '', 'base64').toString();

/** Whether this is the token that the Secret stands for: whoever shows it may be told what is wrong with it. */
const isTokenOf = (secret: Secret, token: BootstrapToken): boolean =>
  fieldOf(secret, 'token-id') === token.id && isSameSecret(fieldOf(secret, 'token-secret'), token.secret);

/** Why a token Secret does not authenticate, or undefined when it does. Pure. */
function bootstrapTokenProblem(secret: Secret, token: BootstrapToken, nowMs: number): string | undefined {
  const field = (name: string) => fieldOf(secret, name);
  if (secret.type !== 'bootstrap.kubernetes.io/token') return 'wrong type of Secret';
  if (secret.metadata.deletionTimestamp !== undefined) return 'it is being deleted';
  if (!isTokenOf(secret, token)) return 'it does not match';
  const expiration = field('expiration');
  // An expiration that cannot be read counts as passed.
  if (expiration !== '' && !(Date.parse(expiration) > nowMs)) return `it expired at ${expiration}`;
  return field('usage-bootstrap-authentication') === 'true' ? undefined : 'it is not meant for authentication';
}

function extraGroups(secret: Secret): readonly string[] {
  const groups = Buffer.from(secret.data?.['auth-extra-groups'] ?? '', 'base64').toString();
  return groups.split(',').filter((group) => EXTRA_GROUP.test(group));
}

/** Tokens kept as Secrets `bootstrap-token-<id>` in kube-system. */
export function createBootstrapTokenVerifier({ store, clock }: { store: Store; clock: Clock }): PromptTokenVerifier {
  return {
    name: 'bootstrap-token',
    verify(token, audiences = []) {
      const parsed = parseBootstrapToken(token);
      if (parsed === undefined) return undefined;
      const stored = store.snapshot().get(`/registry/secrets/kube-system/bootstrap-token-${parsed.id}`);
      const secret = stored?.object() as Secret | undefined;
      if (secret === undefined || !isTokenOf(secret, parsed)) throw unauthorized();
      const problem = bootstrapTokenProblem(secret, parsed, clock.now());
      if (problem !== undefined)
        throw new ApiError(401, 'Unauthorized', `the bootstrap token ${parsed.id} is refused: ${problem}`);
      const user = {
        name: `system:bootstrap:${parsed.id}`,
        groups: ['system:bootstrappers', ...extraGroups(secret), 'system:authenticated'],
      };
      return { user, audiences };
    },
  };
}
