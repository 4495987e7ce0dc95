import type { Clock } from '#base/clock.ts';
import { isAlreadyExists, isNotFound } from '../object/api-error.ts';
import { resources } from '../object/kinds.ts';
import type { KubeObject, Stored } from '../object/kube-object.ts';
import type { KubeClient } from './client.ts';
import type { Transport } from './transport.ts';

export interface TokenSourceOptions {
  /** Acts as somebody who may create tokens for the account, and the account itself. */
  readonly client: KubeClient;
  readonly namespace: string;
  readonly name: string;
  readonly clock: Clock;
}

/** Tokens of one ServiceAccount, each kept for four fifths of its life. */
export interface TokenSource {
  /** Rejects with the API's error; the next call asks again. */
  token(): Promise<string>;
  /** The server refused the last one: its account may have been made anew. */
  invalidate(): void;
}

const LIFE_SECONDS = 3600;
const USED_SHARE = 0.8;

interface TokenAnswer {
  readonly status: { readonly token: string; readonly expirationTimestamp: string };
}

/** As kube-controller-manager's own `--use-service-account-credentials`: the account is made where it is missing. */
export function createTokenSource({ client, namespace, name, clock }: TokenSourceOptions): TokenSource {
  const accounts = client.resource<Stored<KubeObject>>(resources.serviceAccounts);
  let current: { readonly token: Promise<string>; readonly untilMs: number } | undefined;

  async function request(): Promise<string> {
    const ask = () =>
      accounts.post<TokenAnswer>(name, namespace, 'token', {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { expirationSeconds: LIFE_SECONDS },
      });
    try {
      return (await ask()).status.token;
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
    await accounts.create({ metadata: { name, namespace } }).catch((err: unknown) => {
      if (!isAlreadyExists(err)) throw err;
    });
    return (await ask()).status.token;
  }

  return {
    token() {
      // Measured here: the clocks of servers are their own.
      if (current === undefined || clock.monotonic() >= current.untilMs) {
        const token = request();
        const entry = { token, untilMs: clock.monotonic() + LIFE_SECONDS * USED_SHARE * 1000 };
        current = entry;
        token.catch(() => {
          if (current === entry) current = undefined;
        });
      }
      return current.token;
    },
    invalidate() {
      current = undefined;
    },
  };
}

/** The same connection under the tokens of `source`. Closing it leaves the connection to its owner. */
export function withTokens(transport: Transport, source: TokenSource): Transport {
  return {
    async request(request) {
      const token = await source.token();
      const headers = { ...request.headers, authorization: `Bearer ${token}` };
      const response = await transport.request({ ...request, headers });
      if (response.status === 401) source.invalidate();
      return response;
    },
    close() {},
  };
}
