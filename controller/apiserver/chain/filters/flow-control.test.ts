import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { SUGGESTED_PRIORITY_LEVELS } from '../../flow-control/bootstrap-configuration.ts';
import type { Configured, FlowSchemaSpec, PriorityLevelSpec } from '../../flow-control/configuration.ts';
import { FlowController } from '../../flow-control/flow-controller.ts';
import { FlowMetrics } from '../../flow-control/flow-metrics.ts';
import { fakeContext } from '../../testing/fake-request.ts';
import type { RequestInfo } from '../request-context.ts';
import { createFlowControlFilter } from './flow-control.ts';

const everybody: FlowSchemaSpec = {
  priorityLevelConfiguration: { name: 'small' },
  matchingPrecedence: 1000,
  distinguisherMethod: { type: 'ByUser' },
  rules: [
    {
      subjects: [{ kind: 'Group', group: { name: 'system:authenticated' } }],
      resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], clusterScope: true, namespaces: ['*'] }],
    },
  ],
};

const level = (queues: number, queueLengthLimit: number, type = 'Queue'): PriorityLevelSpec => ({
  type: 'Limited',
  limited: {
    nominalConcurrencyShares: 2,
    borrowingLimitPercent: 0,
    limitResponse: {
      type,
      ...(type === 'Queue' ? { queuing: { queues, handSize: Math.min(queues, 2), queueLengthLimit } } : {}),
    },
  },
});

/** Two seats for everybody (the rest are catch-all's). */
function setUp(spec = level(64, 2), seats = 7, countObjects = (_: RequestInfo) => 0) {
  const clock = new FakeClock();
  const metrics = new FlowMetrics();
  const controller = new FlowController({ clock, metrics, totalSeats: seats });
  const configure = (own: PriorityLevelSpec) =>
    controller.configure(
      [{ name: 'small', uid: 'level-uid', spec: own }],
      [{ name: 'everybody', uid: 'schema-uid', spec: everybody }],
    );
  configure(spec);
  const filter = createFlowControlFilter({ controller, clock, countObjects });
  const started: string[] = [];
  const send = (name: string, info: Partial<RequestInfo> = {}, signal?: AbortSignal) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const facts = {
      info,
      user: { name, groups: ['system:authenticated'] },
      ...(signal === undefined ? {} : { signal }),
    };
    const context = fakeContext(facts);
    const result = filter.run(context, () => {
      started.push(name);
      return promise;
    });
    result.catch(() => {});
    return { result, finish: resolve, context };
  };
  return { clock, controller, metrics, send, started, configure };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('the flow-control filter', () => {
  it('runs as many requests as there are seats, and the next when one is free', async () => {
    const { send, started } = setUp();
    const first = send('a');
    send('a');
    send('b');
    expect(started).toEqual(['a', 'a']);
    first.finish();
    await turn();
    expect(started).toEqual(['a', 'a', 'b']);
  });

  it('names level and schema of a request', () => {
    const { send } = setUp();
    expect(send('a').context.flow).toMatchObject({ schemaUid: 'schema-uid', levelUid: 'level-uid' });
  });

  it('gives the seats of writes away that wait for a disk, and only those', async () => {
    const { clock, send, started } = setUp();
    const writes = [send('writer', { verb: 'update' }), send('writer', { verb: 'update' })];
    send('reader');
    for (const { context } of writes) context.onHandedToStore?.();
    await clock.advance(99);
    expect(started).toEqual(['writer', 'writer']);
    await clock.advance(1);
    expect(started).toEqual(['writer', 'writer', 'reader']);
    // Their end gives back nothing twice: one seat is the reader's, one is free.
    for (const { finish } of writes) finish();
    await turn();
    for (const name of ['b', 'c']) send(name);
    expect(started).toEqual(['writer', 'writer', 'reader', 'b']);
  });

  it('bounds the writes that wait without a seat, but lets heartbeats through', async () => {
    const { clock, send, started } = setUp();
    const writes = [];
    for (let i = 0; i < 8; i++) {
      for (const write of [send('writer', { verb: 'update' }), send('writer', { verb: 'update' })]) {
        write.context.onHandedToStore?.();
        writes.push(write);
      }
      await clock.advance(100);
    }
    expect(started).toHaveLength(16);
    await expect(send('writer', { verb: 'update' }).result).rejects.toMatchObject({
      code: 429,
      details: { retryAfterSeconds: 1 },
    });
    send('node', { verb: 'update', resource: 'leases' });
    send('reader', { verb: 'get' });
    expect(started.slice(16)).toEqual(['node', 'reader']);
    for (const { finish } of writes) finish();
    await turn();
  });

  it('does not let a flood starve others', async () => {
    const { send, started } = setUp(level(64, 50));
    const running = [send('a'), send('a')];
    for (const name of [...Array<string>(20).fill('a'), 'b', 'c']) send(name);
    for (const { finish } of running) finish();
    await turn();
    expect(started.slice(2).sort()).not.toEqual(['a', 'a']);
  });

  it('answers 429 with a time to come back when the queues of a flow are full, while others still find room', async () => {
    const { send } = setUp(level(64, 2));
    for (let i = 0; i < 6; i++) send('a');
    await expect(send('a').result).rejects.toMatchObject({
      code: 429,
      message: 'Too many requests, please try again later.',
      details: { retryAfterSeconds: 1 },
    });
    const other = send('zoe');
    await turn();
    await expect(Promise.race([other.result, turn().then(() => 'waits')])).resolves.toBe('waits');
  });

  it('refuses at once where the level has no queues', async () => {
    const { send } = setUp(level(0, 0, 'Reject'));
    send('a');
    send('a');
    await expect(send('b').result).rejects.toMatchObject({ code: 429 });
  });

  it('gives up after the longest wait, and its place is free again', async () => {
    const { send, clock, started, metrics, controller } = setUp();
    const [first] = [send('a'), send('a')];
    const waiting = send('b');
    await clock.advance(15_000);
    await expect(waiting.result).rejects.toMatchObject({ code: 429 });
    send('c');
    first!.finish();
    await turn();
    expect(started).toEqual(['a', 'a', 'c']);
    expect(metrics.render(controller.levels)).toContain(
      'apiserver_flowcontrol_rejected_requests_total{priority_level="small",flow_schema="everybody",reason="time-out"} 1',
    );
  });

  it('does not run what its deadline has answered while it waited', async () => {
    const { send, started } = setUp();
    const [first] = [send('a'), send('a')];
    const late = send('b');
    late.context.response.started = true;
    send('c');
    first!.finish();
    await turn();
    expect(started).toEqual(['a', 'a', 'c']);
  });

  it('forgets who went away while waiting', async () => {
    const { send, started } = setUp();
    const [first] = [send('a'), send('a')];
    const client = new AbortController();
    const waiting = send('b', {}, client.signal);
    client.abort();
    await expect(waiting.result).rejects.toMatchObject({ code: 429 });
    first!.finish();
    await turn();
    expect(started).toEqual(['a', 'a']);
  });

  it('frees the seats of a watch once its answer has begun', async () => {
    const { send, started } = setUp();
    const watches = [send('a', { verb: 'watch' }), send('a', { verb: 'watch' })];
    send('b');
    expect(started).toEqual(['a', 'a']);
    watches[0]!.context.onAnswer?.();
    await turn();
    expect(started).toEqual(['a', 'a', 'b']);
    watches[0]!.finish();
    await turn();
    expect(started).toEqual(['a', 'a', 'b']);
  });

  it('frees the seat of a request that fails', async () => {
    const { controller } = setUp(level(0, 0, 'Reject'));
    const clock = new FakeClock();
    const filter = createFlowControlFilter({ controller, clock, countObjects: () => 0 });
    for (let i = 0; i < 3; i++) {
      await expect(filter.run(fakeContext(), () => Promise.reject(new Error('boom')))).rejects.toThrow('boom');
    }
  });

  it('lets streams pass without a seat', () => {
    const { send, started } = setUp();
    for (let i = 0; i < 5; i++) send('a', { subresource: 'exec', verb: 'create' });
    expect(started).toHaveLength(5);
  });

  it('gives a list as many seats as its collection is large, but no more than its level allows', () => {
    const { send, started } = setUp(level(64, 50), 700, () => 950);
    // 200 seats of the level, 10 for each list.
    for (let i = 0; i < 21; i++) send('a', { verb: 'list' });
    expect(started).toHaveLength(20);
    const narrow = setUp(level(64, 50), 700, () => 950);
    for (let i = 0; i < 201; i++) narrow.send('a', { verb: 'list', query: new URLSearchParams('limit=50') });
    expect(narrow.started).toHaveLength(200);
  });

  it('holds the seats of a write that many watch until its event has spread', async () => {
    const { send, started, clock } = setUp(level(64, 50), 7);
    for (let i = 0; i < 15; i++) send('w', { verb: 'watch' }).context.onAnswer?.();
    started.length = 0;
    const write = send('a', { verb: 'update' });
    const second = send('a', { verb: 'update' });
    // One seat is the widest in a level of two.
    expect(started).toEqual(['a', 'a']);
    write.finish();
    second.finish();
    await turn();
    send('b');
    expect(started).toEqual(['a', 'a']);
    await clock.advance(5);
    expect(started).toEqual(['a', 'a', 'b']);
  });

  it('keeps requests running and waiting when the level is configured anew', async () => {
    const { send, started, configure } = setUp();
    const [first] = [send('a'), send('a')];
    send('b');
    configure(level(4, 10));
    send('c');
    first!.finish();
    await turn();
    expect(started).toEqual(['a', 'a', 'b']);
  });
});

describe('borrowing', () => {
  const limited = (shares: number, lendablePercent: number, borrowingLimitPercent?: number): PriorityLevelSpec => ({
    type: 'Limited',
    limited: {
      nominalConcurrencyShares: shares,
      lendablePercent,
      ...(borrowingLimitPercent === undefined ? {} : { borrowingLimitPercent }),
      limitResponse: { type: 'Reject' },
    },
  });
  /** `a` and `b` with 10 seats each, catch-all with 5. */
  const acquirers = (a: PriorityLevelSpec, b: PriorityLevelSpec) => {
    const controller = new FlowController({ clock: new FakeClock(), metrics: new FlowMetrics(), totalSeats: 25 });
    controller.configure(
      [
        { name: 'a', uid: '', spec: a },
        { name: 'b', uid: '', spec: b },
      ] satisfies Configured<PriorityLevelSpec>[],
      [],
    );
    const byName = new Map([...controller.levels].map((one) => [one.name, one]));
    const take = (name: string, tries: number) => {
      let seated = 0;
      for (let i = 0; i < tries; i++) if (byName.get(name)!.tryAcquire(1)) seated++;
      return seated;
    };
    const release = (name: string, seats: number) => byName.get(name)!.release(seats);
    return { take, release };
  };

  it('uses what others lend and do not need', () => {
    const { take } = acquirers(limited(10, 0), limited(10, 40));
    expect(take('a', 30)).toBe(14);
    expect(take('b', 30)).toBe(6);
  });

  it('stops at its own limit', () => {
    expect(acquirers(limited(10, 0, 20), limited(10, 90)).take('a', 30)).toBe(12);
  });

  it('does not take what the lender uses, and gives it back', () => {
    const { take, release } = acquirers(limited(10, 0), limited(10, 40));
    expect(take('b', 8)).toBe(8);
    expect(take('a', 30)).toBe(12);
    expect(take('b', 5)).toBe(0);
    release('a', 2);
    expect(take('b', 5)).toBe(2);
  });

  it('never seats more than there are', () => {
    const { take } = acquirers(limited(10, 100), limited(10, 100));
    expect(take('a', 40) + take('b', 40)).toBe(20);
  });
});

it('suggests levels in which every list finds room', () => {
  const controller = new FlowController({ clock: new FakeClock(), metrics: new FlowMetrics(), totalSeats: 600 });
  for (const one of controller.levels) {
    if (one.name in SUGGESTED_PRIORITY_LEVELS) expect(one.maxSeats).toBeGreaterThan(3);
  }
});
