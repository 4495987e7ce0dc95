import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ATTEMPTS_OF_ACCOUNT } from './testing/attempts/of-accounts.ts';
import { attemptsOfNode } from './testing/attempts/of-nodes.ts';
import { ATTEMPTS_OF_ANYBODY, ATTEMPTS_OF_JOINER } from './testing/attempts/of-strangers.ts';
import type { Attempt } from './testing/attempts/requests.ts';
import { ANYBODY, createScene, JOINER, NODE_A, type Scene, WEAK } from './testing/attempts/scene.ts';
import type { Credentials } from './testing/secured-server.ts';

/*
 * Every rule of who may do what, stated as somebody's attempt to break it. Each must be refused, and leave a line in the audit log.
 */

let scene: Scene;
beforeAll(async () => {
  scene = await createScene();
});
afterAll(() => scene.api.stop());

const identityOf = ({ peer, token }: Credentials) => ({
  username: peer?.certificate?.commonName ?? peer?.component ?? `system:bootstrap:${token?.split('.')[0]}`,
});

/** The same object, whose inner ones may hold more. */
const matching = (wanted: object): object =>
  Object.fromEntries(
    Object.entries(wanted).map(([key, value]) => [
      key,
      typeof value === 'object' ? expect.objectContaining(value) : value,
    ]),
  );

function describeAttempts(who: string, credentials: Credentials, attempts: readonly Attempt[]): void {
  describe(who, () => {
    it.each(attempts.map((attempt) => [attempt.what, attempt] as const))('does not %s', async (_, attempt) => {
      const { api } = scene;
      const before = api.auditLines.length;
      const { method = attempt.body === undefined ? 'GET' : 'POST', url, code = 403 } = attempt;
      const body = typeof attempt.body === 'function' ? await attempt.body() : attempt.body;
      const { peer, token } = credentials;
      const { status, body: answer } = await api.call({
        method,
        url,
        ...(body === undefined ? {} : { body }),
        ...(peer === undefined ? {} : { peer }),
        ...(token === undefined ? {} : { token }),
        headers: attempt.headers ?? {},
      });
      expect([status, answer]).toEqual([code, expect.objectContaining({ status: 'Failure' })]);
      const audited = api.auditLines.slice(before).map((line) => JSON.parse(line));
      // Who it was, not who they wanted to be; what they asked for, and what they got.
      const { username } = identityOf(credentials);
      const record = { user: { username }, requestURI: url, responseStatus: { code } };
      expect(audited).toContainEqual(expect.objectContaining(matching(record)));
    });
  });
}

describeAttempts(
  'a node',
  NODE_A,
  attemptsOfNode(() => scene),
);
describeAttempts('a ServiceAccount', WEAK, ATTEMPTS_OF_ACCOUNT);
describeAttempts('a host that has nothing but a join token', JOINER, ATTEMPTS_OF_JOINER);
describeAttempts('somebody with a certificate and no role', ANYBODY, ATTEMPTS_OF_ANYBODY);
