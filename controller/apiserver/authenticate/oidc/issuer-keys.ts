import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from 'jose';
import { isJsonObject } from '#api/object/json.ts';
import type { Clock } from '#base/clock.ts';
import type { JwtIssuer } from './authentication-configuration.ts';

/** Fetches a document over HTTPS, trusting `ca` (PEM) or, without one, what this host trusts. Rejects on any failure. */
export type FetchJson = (url: string, ca: string | undefined) => Promise<unknown>;

/** After a failure nobody asks again for so long: tokens come unauthenticated, and each could cause a request otherwise. */
const RETRY_MS = 10_000;
/** An issuer may move its keys elsewhere. */
const DISCOVERY_MAX_AGE_MS = 3_600_000;

/** Where an issuer's keys are, found out when they are first needed; kept when the issuer is gone for a while. */
export class IssuerKeys {
  readonly #issuer: JwtIssuer;
  readonly #fetchJson: FetchJson;
  readonly #clock: Clock;
  #keys: JWTVerifyGetKey | undefined;
  #jwksUri = '';
  #discoveredAtMs = Number.NEGATIVE_INFINITY;
  #failedAtMs = Number.NEGATIVE_INFINITY;
  #underWay: Promise<void> | undefined;

  constructor(issuer: JwtIssuer, { fetchJson, clock }: { readonly fetchJson: FetchJson; readonly clock: Clock }) {
    this.#issuer = issuer;
    this.#fetchJson = fetchJson;
    this.#clock = clock;
  }

  /** Rejects while the issuer has never been reached. */
  async keys(): Promise<JWTVerifyGetKey> {
    const nowMs = this.#clock.monotonic();
    const isOld = nowMs - this.#discoveredAtMs >= DISCOVERY_MAX_AGE_MS;
    if (isOld && nowMs - this.#failedAtMs >= RETRY_MS) {
      this.#underWay ??= this.#discover().finally(() => {
        this.#underWay = undefined;
      });
      // Known keys go on being good while new ones are looked for.
      if (this.#keys === undefined) await this.#underWay;
      else this.#underWay.catch(() => undefined);
    }
    if (this.#keys === undefined) throw new Error(`${this.#issuer.url} could not be asked for its keys`);
    return this.#keys;
  }

  async #discover(): Promise<void> {
    const { url, discoveryUrl, certificateAuthority } = this.#issuer;
    try {
      const found = await this.#fetchJson(discoveryUrl, certificateAuthority);
      if (!isJsonObject(found) || found.issuer !== url) {
        throw new Error(`${discoveryUrl} speaks for ${isJsonObject(found) ? found.issuer : 'nobody'}, not for ${url}`);
      }
      const { jwks_uri: jwksUri } = found;
      if (typeof jwksUri !== 'string' || !jwksUri.startsWith('https://')) throw new Error('jwks_uri is no https URL');
      if (jwksUri !== this.#jwksUri || this.#keys === undefined) this.#keys = this.#remoteKeys(jwksUri);
      this.#jwksUri = jwksUri;
      this.#discoveredAtMs = this.#clock.monotonic();
    } catch (err) {
      this.#failedAtMs = this.#clock.monotonic();
      throw err;
    }
  }

  /** Fetched once, and again for a key that is not among them, though not at every stranger's bidding. */
  #remoteKeys(jwksUri: string): JWTVerifyGetKey {
    return createRemoteJWKSet(new URL(jwksUri), {
      cooldownDuration: RETRY_MS,
      cacheMaxAge: DISCOVERY_MAX_AGE_MS,
      [customFetch]: async (url) =>
        Response.json(await this.#fetchJson(String(url), this.#issuer.certificateAuthority)),
    });
  }
}
