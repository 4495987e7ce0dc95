import type { KubeClient } from '#api/client/client.ts';
import { ApiError } from '#api/object/api-error.ts';
import { type Pod, resources, type ServiceAccount } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { clockOffsetMs, hasJumped } from '#base/clock-jumps.ts';
import type { PodCopies } from '../offline/pod-copies.ts';
import { namespaceOf, specOf, uidOf } from '../pod-spec.ts';
import type { ProjectedToken, TokenSpec } from './volume-kind.ts';

/** Rotation at 80 % of a token's life, or once a day for long ones, with a little spread so that a node's pods do not ask at once. */
const REFRESH_AT = 0.8;
const MAX_AGE_MS = 24 * 3600_000;
const MAX_SPREAD_MS = 10_000;

const RETRY_MS = 10_000;

interface KnownToken extends ProjectedToken {
  readonly expiresAtMs: number;
  /** Of the wall clock when it was asked for: once that is set, nobody knows by whose clock it lasts. */
  readonly clockOffsetMs: number;
}

interface TokenReply {
  readonly spec?: { readonly expirationSeconds?: number };
  readonly status?: { readonly token?: string };
}

export interface TokenSourceOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly random: () => number;
  /** The first token of a pod, for when the API does not answer: expired perhaps, but its volume can stand. */
  readonly copies: Pick<PodCopies, 'note' | 'recall'>;
}

/** Asks the API server for tokens bound to a pod, and keeps them until they are due for rotation. */
export class TokenSource {
  readonly #options: TokenSourceOptions;
  readonly #tokens = new Map<string, KnownToken>();

  constructor(options: TokenSourceOptions) {
    this.#options = options;
  }

  async token(pod: Pod, spec: TokenSpec): Promise<ProjectedToken> {
    const key = `${pod.metadata.uid} ${spec.audience ?? ''} ${spec.expirationSeconds}`;
    const known = this.#tokens.get(key);
    if (known !== undefined && this.#isFresh(known)) return known;
    try {
      const fresh = await this.#request(pod, spec);
      this.#tokens.set(key, fresh);
      if (known === undefined) this.#options.copies.note(uidOf(pod), `tokens/${key}`, fresh);
      return fresh;
    } catch (err) {
      const copy = known ?? (await this.#copyUnlessAnswered(pod, key, err));
      // A token that is due for rotation is still good for a while; the API server may be away.
      if (copy === undefined || (known !== undefined && this.#options.clock.now() >= known.expiresAtMs)) throw err;
      return { ...copy, refreshAtMs: this.#options.clock.now() + RETRY_MS };
    }
  }

  #isFresh({ refreshAtMs, clockOffsetMs: offsetMs }: KnownToken): boolean {
    const { clock } = this.#options;
    return clock.now() < refreshAtMs && !hasJumped(clock, offsetMs);
  }

  /** An API server that answers, if only to refuse, decides. */
  async #copyUnlessAnswered(pod: Pod, key: string, err: unknown): Promise<KnownToken | undefined> {
    if (err instanceof ApiError && err.code < 500) return undefined;
    return this.#options.copies.recall<KnownToken>(uidOf(pod), `tokens/${key}`);
  }

  /** Nobody knows any more by whose clock they last: the next call for each asks for another one. */
  expireAll(): void {
    for (const [key, known] of this.#tokens) this.#tokens.set(key, { ...known, refreshAtMs: 0 });
  }

  forgetPod(uid: string): void {
    for (const key of this.#tokens.keys()) if (key.startsWith(`${uid} `)) this.#tokens.delete(key);
  }

  async #request(pod: Pod, { audience, expirationSeconds }: TokenSpec): Promise<KnownToken> {
    const { client, clock, random } = this.#options;
    const accounts = client.resource<ServiceAccount>(resources.serviceAccounts);
    const { name, uid } = pod.metadata;
    const account = specOf(pod).serviceAccountName || 'default';
    const [askedMs, offsetMs] = [clock.now(), clockOffsetMs(clock)];
    const reply = await accounts.post<TokenReply>(account, namespaceOf(pod), 'token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: {
        audiences: audience === undefined ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
      },
    });
    const token = reply.status?.token;
    if (token === undefined) throw new Error(`the API server sent no token for ServiceAccount ${account}`);
    // By the length of its life, which is the same by the server's clock and by ours.
    const lifeMs = (reply.spec?.expirationSeconds ?? expirationSeconds) * 1000;
    const refreshAtMs = askedMs + Math.min(lifeMs * REFRESH_AT, MAX_AGE_MS) - random() * MAX_SPREAD_MS;
    return { token, expiresAtMs: askedMs + lifeMs, refreshAtMs, clockOffsetMs: offsetMs };
  }
}
