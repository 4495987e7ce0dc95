import { beforeEach, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { TransportError } from '#api/client/transport.ts';
import type { Pod } from '#api/object/kinds.ts';
import { toTime } from '#base/clock.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { TokenSource } from './token-source.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const SPEC = { audience: undefined, expirationSeconds: 3600 } as const;
const pod = { metadata: { name: 'p', namespace: 'default', uid: 'u' }, spec: {} } as unknown as Pod;

let clock: FakeClock;
let asked: number;
let isAway: boolean;
/** How far the server's clock is ahead of ours. */
let serverAheadMs: number;
let source: TokenSource;

beforeEach(() => {
  [clock, asked, isAway, serverAheadMs] = [new FakeClock(), 0, false, 0];
  const post = async () => {
    if (isAway) throw new TransportError('away');
    const expirationTimestamp = toTime(clock.now() + serverAheadMs + HOUR_MS);
    return { spec: { expirationSeconds: 3600 }, status: { token: `t${++asked}`, expirationTimestamp } };
  };
  const client = { resource: () => ({ post }) } as unknown as KubeClient;
  const copies = { note: () => {}, recall: async () => undefined };
  source = new TokenSource({ client, clock, random: () => 0, copies });
});

const token = async () => (await source.token(pod, SPEC)).token;

it('keeps a token for four fifths of its life', async () => {
  expect(await token()).toBe('t1');
  await clock.advance(0.79 * HOUR_MS);
  expect(await token()).toBe('t1');
  await clock.advance(0.02 * HOUR_MS);
  expect(await token()).toBe('t2');
});

it.each([DAY_MS, -DAY_MS, 365 * DAY_MS, -365 * DAY_MS])(
  'asks for another one once the clock has jumped by %d ms',
  async (jumpMs) => {
    expect(await token()).toBe('t1');
    clock.jump(jumpMs);
    expect(await token()).toBe('t2');
    expect(await token()).toBe('t2');
  },
);

it.each([DAY_MS, -DAY_MS])('goes by its own clock where that of the server is %d ms ahead', async (aheadMs) => {
  serverAheadMs = aheadMs;
  expect(await token()).toBe('t1');
  await clock.advance(0.79 * HOUR_MS);
  expect(await token()).toBe('t1');
  await clock.advance(0.02 * HOUR_MS);
  expect(await token()).toBe('t2');
});

it('asks for another one once told that the clock of the server was set', async () => {
  expect(await token()).toBe('t1');
  source.expireAll();
  expect(await token()).toBe('t2');
  expect(await token()).toBe('t2');
});

it('keeps the old one while the API is away after a jump back', async () => {
  expect(await token()).toBe('t1');
  clock.jump(-DAY_MS);
  isAway = true;
  expect(await token()).toBe('t1');
});
