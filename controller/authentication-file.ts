import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import {
  type AuthenticationConfiguration,
  parseAuthenticationConfiguration,
} from './apiserver/authenticate/oidc/authentication-configuration.ts';
import { fetchJson } from './apiserver/authenticate/oidc/fetch-json.ts';
import { createOidcVerifier, type OidcVerifier } from './apiserver/authenticate/oidc/oidc-token.ts';
import { SERVICE_ACCOUNT_ISSUER } from './apiserver/authenticate/token-issuer.ts';

/** How often the file is read again: Kubernetes' own interval. */
const RELOAD_MS = 60_000;

/** Who may come besides those that the cluster itself knows. */
export interface ForeignIdentities {
  readonly oidc: OidcVerifier;
  readonly anonymous: () => AuthenticationConfiguration['anonymous'];
  stop(): void;
}

async function readConfiguration(path: string): Promise<{ text: string; parsed: AuthenticationConfiguration }> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new ConfigError(`authenticationConfig: ${describeError(err)}`);
  }
  try {
    const parsed = parseAuthenticationConfiguration(parse(text), { fileName: path, ownIssuer: SERVICE_ACCOUNT_ISSUER });
    return { text, parsed };
  } catch (err) {
    throw err instanceof ConfigError ? err : new ConfigError(`${path}: ${describeError(err)}`);
  }
}

export interface AuthenticationFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Follows the file: what it says at the start must be right, a later mistake leaves everything as it was. Throws ConfigError. */
export async function followAuthenticationFile(options: AuthenticationFileOptions): Promise<ForeignIdentities> {
  const { path, clock, log } = options;
  const oidc = createOidcVerifier({ clock, log: log.child({ component: 'oidc' }), fetchJson });
  let { text, parsed } = await readConfiguration(path);
  oidc.configure(parsed.issuers);
  let cancel: () => void = () => undefined;
  const reload = async (): Promise<void> => {
    try {
      const next = await readConfiguration(path);
      if (next.text !== text) {
        ({ text, parsed } = next);
        oidc.configure(parsed.issuers);
        log.info('the authentication configuration has changed', { file: path, issuers: parsed.issuers.length });
      }
    } catch (err) {
      log.error('the authentication configuration is wrong; the old one stays', { err: describeError(err) });
    }
    schedule();
  };
  const schedule = () => {
    cancel = clock.after(RELOAD_MS, () => void reload());
  };
  schedule();
  return { oidc, anonymous: () => parsed.anonymous, stop: () => cancel() };
}
