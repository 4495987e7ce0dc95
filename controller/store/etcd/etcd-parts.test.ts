import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { computeFault, EtcdError, type EtcdFault, toApiError } from './etcd-error.ts';
import { hasSafeProgress, isSupported } from './etcd-version.ts';
import { KeySpace } from './key-space.ts';
import { LeaseBuckets } from './lease-buckets.ts';
import { SharedRound } from './shared-round.ts';

describe('computeFault', () => {
  it.each<[number, string, EtcdFault]>([
    [status.UNAVAILABLE, 'No connection established. Last error: connect ECONNREFUSED', 'unavailable'],
    [status.UNAVAILABLE, 'etcdserver: no leader', 'unavailable'],
    [status.RESOURCE_EXHAUSTED, 'etcdserver: too many requests', 'unavailable'],
    [status.UNAVAILABLE, 'Connection dropped', 'unknown'],
    [status.CANCELLED, 'Call cancelled', 'unknown'],
    [status.INTERNAL, 'Received RST_STREAM with code 2', 'unknown'],
    [status.UNAVAILABLE, 'etcdserver: request timed out, possibly due to previous leader failure', 'unknown'],
    [status.UNAVAILABLE, 'etcdserver: something new', 'unknown'],
    [status.RESOURCE_EXHAUSTED, 'etcdserver: mvcc: database space exceeded', 'noSpace'],
    [status.INVALID_ARGUMENT, 'etcdserver: request is too large', 'tooLarge'],
    [status.OUT_OF_RANGE, 'etcdserver: mvcc: required revision has been compacted', 'compacted'],
    [status.NOT_FOUND, 'etcdserver: requested lease not found', 'leaseGone'],
    [status.PERMISSION_DENIED, 'etcdserver: permission denied', 'denied'],
    [status.INVALID_ARGUMENT, 'etcdserver: duplicate key given in txn request', 'refused'],
  ])('%i "%s" is %s', (code, message, fault) => {
    expect(computeFault(code, message)).toBe(fault);
  });

  it.each<[EtcdFault, number]>([
    ['unavailable', 503],
    ['unknown', 504],
    ['noSpace', 507],
    ['tooLarge', 413],
    ['denied', 500],
    ['refused', 500],
  ])('%s is answered with %i', (fault, code) => {
    expect(toApiError(new EtcdError(fault, 0, 'words of etcd'))).toMatchObject({ code });
  });

  it('names alarm and cure of a full etcd', () => {
    expect(String((toApiError(new EtcdError('noSpace', 8, 'x')) as Error).message)).toMatch(/NOSPACE.*alarm disarm/);
  });
});

it.each<[string, boolean]>([
  ['3.4.23', false],
  ['3.4.30', false],
  ['3.4.31', true],
  ['3.5.12', false],
  ['3.5.13', true],
  ['3.5.30', true],
  ['3.6.0', true],
  ['3.6.0-rc.1', true],
  ['3.3.27', false],
  ['4.0.0', true],
  ['', false],
])('progress requests of etcd %s are safe: %s', (version, safe) => {
  expect(hasSafeProgress(version)).toBe(safe);
});

it.each<[string, boolean]>([
  ['3.3.27', false],
  ['2.3.8', false],
  ['3.4.0', true],
  ['3.6.1', true],
  ['4.0.0', true],
  ['dev', true],
])('etcd %s is supported: %s', (version, supported) => {
  expect(isSupported(version)).toBe(supported);
});

it.each(['/registry', '/registry/', '/other/place'])('KeySpace(%s) maps keys there and back', (prefix) => {
  const keys = new KeySpace(prefix);
  const key = '/registry/pods/default/ä';
  const there = keys.toEtcd(key);
  expect(new TextDecoder().decode(there)).toBe(`${prefix.replace(/\/$/, '')}/pods/default/ä`);
  expect(keys.fromEtcd(there)).toBe(key);
  expect(keys.fromEtcd(keys.fence)).toBeUndefined();
  expect(Buffer.compare(keys.first, there)).toBe(-1);
  expect(Buffer.compare(there, keys.end)).toBe(-1);
});

describe('LeaseBuckets', () => {
  it('share a lease for a minute, or a thousand keys, and give each object its full time', async () => {
    const clock = new FakeClock();
    const granted: number[] = [];
    const leases = new LeaseBuckets(clock, async (ttlSeconds) => String(granted.push(ttlSeconds)));
    expect([await leases.take(3_600_000), await leases.take(3_600_000)]).toEqual(['1', '1']);
    await clock.advance(60_000);
    expect(await leases.take(3_600_000)).toBe('2');
    for (let i = 0; i < 999; i++) await leases.take(3_600_000);
    expect(await leases.take(3_600_000)).toBe('3');
    expect(await leases.take(100_000)).toBe('4');
    // The last object of a bucket is taken in when it closes, and still has its hour.
    expect(granted).toEqual([3660, 3660, 3660, 105]);
  });

  it('ask again after a refusal, and after etcd has forgotten them', async () => {
    let asked = 0;
    const leases = new LeaseBuckets(new FakeClock(), () => {
      asked += 1;
      return asked === 1 ? Promise.reject(new Error('no leader')) : Promise.resolve(String(asked));
    });
    await expect(leases.take(1000)).rejects.toThrow('no leader');
    expect(await leases.take(1000)).toBe('2');
    leases.forget();
    expect(await leases.take(1000)).toBe('3');
  });
});

describe('SharedRound', () => {
  it('never answers with a round that began before the question', async () => {
    const rounds: PromiseWithResolvers<number>[] = [];
    const shared = new SharedRound(() => {
      const round = Promise.withResolvers<number>();
      rounds.push(round);
      return round.promise;
    });
    const turn = () => new Promise((resolve) => setImmediate(resolve));
    const first = shared.join();
    await turn();
    // Asked while the first round is under way: both wait for the next one, together.
    const later = [shared.join(), shared.join()];
    await turn();
    expect(rounds).toHaveLength(1);
    rounds[0]!.reject(new Error('of the first'));
    await expect(first).rejects.toThrow('of the first');
    await turn();
    expect(rounds).toHaveLength(2);
    rounds[1]!.resolve(2);
    expect(await Promise.all(later)).toEqual([2, 2]);
  });
});
