import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { fakeRequest } from '../testing/fake-request.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import { createLapsedNodeAuthenticator, lapsedNodeProblem } from './lapsed-node.ts';

const DAY_MS = 86_400_000;
const node = (ready: string) => ({
  metadata: { name: 'a' },
  status: { conditions: [{ type: 'Ready', status: ready }] },
});

describe('lapsedNodeProblem', () => {
  it.each<[string, Parameters<typeof lapsedNodeProblem>[0]['node'], number, string | undefined]>([
    ['a node that was away', node('Unknown'), 30, undefined],
    ['one that came up before it could say so', node('False'), 30, undefined],
    ['one on the last day', node('Unknown'), 365, undefined],
    ['one a day later', node('Unknown'), 366, 'expired 366 days ago, and the cluster takes its key for 365 days'],
    ['one that was deleted', undefined, 1, 'has no node a any more'],
    ['one that works elsewhere', node('True'), 1, 'at work with a newer certificate'],
  ])('of %s', (_, known, daysAgo, problem) => {
    const facts = {
      nodeName: 'a',
      expiredAtMs: 0,
      nowMs: daysAgo * DAY_MS,
      windowMs: 365 * DAY_MS,
      node: known,
      isByJump: false,
    };
    if (problem === undefined) expect(lapsedNodeProblem(facts)).toBeUndefined();
    else expect(lapsedNodeProblem(facts)).toContain(problem);
  });
});

describe('nodes with an expired certificate', () => {
  const clock = new FakeClock();
  let seeded: SeededStore;
  beforeEach(async () => {
    seeded = new SeededStore();
    await seeded.put('/registry/minions/a', node('Unknown'));
  });
  const authenticate = (commonName: string, organizations: string[], expiresAtMs?: number) =>
    createLapsedNodeAuthenticator({ store: seeded.store, clock, windowMs: DAY_MS }).authenticate(
      fakeRequest({
        peer: { certificate: { commonName, organizations, ...(expiresAtMs === undefined ? {} : { expiresAtMs }) } },
      }),
    );

  it('are known by their name, and are none of the nodes', () => {
    expect(authenticate('system:node:a', ['system:nodes'], clock.now())).toEqual({
      name: 'system:node:a',
      groups: ['coracle:lapsed-nodes', 'system:authenticated'],
    });
  });

  it.each([
    ['whose time is not over', 'system:node:a', ['system:nodes'], 1],
    ['that never end', 'system:node:a', ['system:nodes'], undefined],
    ['of administrators', 'kubernetes-admin', ['system:masters'], 0],
    ['of another kind with such a name', 'system:node:a', ['system:masters'], 0],
    ['of nodes by group alone', 'a', ['system:nodes'], 0],
  ])('are not what certificates are %s', (_, name, groups, inMs) => {
    expect(authenticate(name, groups, inMs === undefined ? undefined : clock.now() + inMs)).toBeUndefined();
  });

  it('may be at work where the clock alone has jumped past its end', async () => {
    await seeded.put('/registry/minions/a', node('True'));
    const jumping = new FakeClock();
    const expiresAtMs = jumping.now() + DAY_MS;
    const { authenticate: judge } = createLapsedNodeAuthenticator({
      store: seeded.store,
      clock: jumping,
      windowMs: 9 * DAY_MS,
    });
    const certificate = { commonName: 'system:node:a', organizations: ['system:nodes'], expiresAtMs };
    const ask = () => judge(fakeRequest({ peer: { certificate } }));
    expect(ask()).toBeUndefined();
    jumping.jump(2 * DAY_MS);
    expect(ask()).toMatchObject({ name: 'system:node:a' });
    // Once it would have expired all the same, the one at work is another.
    await jumping.advance(DAY_MS);
    expect(ask).toThrow('is at work with a newer certificate');
  });

  it('are refused with the reason and the cure', () => {
    expect(() => authenticate('system:node:b', ['system:nodes'], clock.now())).toThrow(
      expect.objectContaining({
        code: 401,
        message: 'the cluster has no node b any more: join it again with a token of `coracle token create`',
      }),
    );
  });
});
