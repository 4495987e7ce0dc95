import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { MemoryCluster } from '#test/kit/memory-client.ts';
import { type Lease, resources } from '../object/kinds.ts';
import { DEFAULT_ELECTION_TIMES, electionTimesProblem, runLeaderElection } from './leader-election.ts';

function setUp() {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const leases = cluster.client().resource<Lease>(resources.leases);
  const leading = new Set<string>();
  const stand = (identity: string) => {
    const abort = new AbortController();
    const lead = (signal: AbortSignal) =>
      new Promise<void>((resolve) => {
        leading.add(identity);
        signal.addEventListener('abort', () => {
          leading.delete(identity);
          resolve();
        });
      });
    const options = { leases, namespace: 'kube-system', name: 'x', identity, clock, log: silentLogger, lead };
    const done = runLeaderElection({ ...options, random: () => 0 }, abort.signal);
    return { abort, done };
  };
  const advance = async (seconds: number) => {
    for (let i = 0; i < seconds; i++) await clock.advance(1000);
  };
  const holder = async () => (await leases.fetch('x', 'kube-system')).spec?.holderIdentity;
  return { cluster, leading, stand, advance, holder };
}

describe('leader election', () => {
  it('lets one lead, and the next at once when the first releases', async () => {
    const { leading, stand, advance, holder } = setUp();
    const a = stand('a');
    await advance(1);
    const b = stand('b');
    await advance(60);
    expect([...leading]).toEqual(['a']);
    a.abort.abort();
    await a.done;
    expect(await holder()).toBe('');
    await advance(3);
    expect([...leading]).toEqual(['b']);
    b.abort.abort();
    await b.done;
  });

  it('steps down when it cannot renew, before another may lead, and stands again', async () => {
    const { cluster, leading, stand, advance } = setUp();
    const a = stand('a');
    await advance(1);
    expect([...leading]).toEqual(['a']);
    cluster.intercept = () => {
      throw new Error('server is away');
    };
    await advance(13);
    expect([...leading]).toEqual([]);
    cluster.intercept = undefined;
    await advance(5);
    expect([...leading]).toEqual(['a']);
    a.abort.abort();
    await a.done;
  });

  it('takes over a lease whose holder fell silent, after its duration', async () => {
    const { cluster, leading, stand, advance } = setUp();
    const spec = { holderIdentity: 'dead', leaseDurationSeconds: 15, renewTime: '2000-01-01T00:00:00.000000Z' };
    const leases = cluster.client().resource<Lease>(resources.leases);
    await leases.create({ metadata: { name: 'x', namespace: 'kube-system' }, spec });
    const b = stand('b');
    await advance(15);
    expect([...leading]).toEqual([]);
    // It saw the lease a second after the start; it is there at the very end, not at the next of its tries.
    await advance(1);
    expect([...leading]).toEqual(['b']);
    b.abort.abort();
    await b.done;
  });

  it('gives up a lease that somebody else wrote to between its renewals', async () => {
    const { cluster, leading, stand, advance, holder } = setUp();
    const a = stand('a');
    await advance(1);
    const leases = cluster.client().resource<Lease>(resources.leases);
    const lease = await leases.fetch('x', 'kube-system');
    await leases.update({ ...lease, metadata: { ...lease.metadata, labels: { touched: 'yes' } } });
    a.abort.abort();
    await a.done;
    expect([...leading]).toEqual([]);
    expect(await holder()).toBe('');
  });

  it('renews with one request, and looks again where its lease was touched', async () => {
    const { cluster, stand, advance } = setUp();
    const a = stand('a');
    await advance(1);
    const leases = cluster.client().resource<Lease>(resources.leases);
    const lease = await leases.fetch('x', 'kube-system');
    await leases.update({ ...lease, metadata: { ...lease.metadata, labels: { touched: 'yes' } } });
    await advance(2);
    const renewed = await leases.fetch('x', 'kube-system');
    expect(renewed.spec?.renewTime).not.toBe(lease.spec?.renewTime);
    expect(renewed.metadata.labels).toEqual({ touched: 'yes' });
    a.abort.abort();
    await a.done;
  });

  it.each([
    ['as Kubernetes has them', {}, undefined],
    ['a lease that ends before its holder stops', { renewDeadlineMs: 15_000 }, /longer than the renew deadline/],
    ['one try within the deadline', { retryPeriodMs: 9_000 }, /longer than 1.2 times the retry period/],
    ['no pause', { retryPeriodMs: 0 }, /above 0/],
  ])('judges times: %s', (_, times, expected) => {
    const problem = electionTimesProblem({ ...DEFAULT_ELECTION_TIMES, ...times });
    if (expected === undefined) expect(problem).toBeUndefined();
    else expect(problem).toMatch(expected);
  });
});
