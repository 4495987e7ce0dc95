import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '#base/seeded-random.ts';
import { ContractApi } from '#controller/apiserver/testing/contract/contract-target.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { createHttpsTarget, requestOver } from '#test/kit/https-contract-target.ts';
import { Connection, ResumingWatcher } from '#test/kit/resuming-watcher.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const WRITERS = 50;
const WATCHERS = 200;
/** Watchers of one connection fall together when it is cut. */
const WATCHERS_PER_CONNECTION = 10;
/** Of the watchers, so many want one half of the objects. */
const SELECTIVE = 40;
const WRITES = 1_500;
const NAMES = 120;
const LATE = 20;
const COLLECTION = '/api/v1/namespaces/torture/configmaps';

const seed = Number(process.env.CORACLE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const random = seededRandom(seed);
const pick = (count: number) => Math.floor(random() * count);

let controller: ControllerProcess | undefined;

beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true, flags: [] });
  const api = new ContractApi(createHttpsTarget(controller));
  await api.expect(201, api.post('/api/v1/namespaces', { metadata: { name: 'torture' } }));
  await api.target.close();
});
afterAll(() => controller?.stop());

/** Creates, changes, relabels and deletes until `isEnough`, through whatever outage; counts what was acknowledged. */
async function write(connection: Connection, acknowledge: () => void, isEnough: () => boolean): Promise<void> {
  const send = async (method: 'POST' | 'PUT' | 'DELETE', path: string, body?: object): Promise<number> => {
    const response = await requestOver(connection.session, { method, path, body });
    for await (const _ of response.chunks);
    return response.status;
  };
  for (let i = 0; !isEnough(); i++) {
    const name = `c${pick(NAMES)}`;
    const body = { metadata: { name, labels: { half: random() < 0.5 ? 'a' : 'b' } }, data: { i: `${i} ${pick(1e9)}` } };
    try {
      const status =
        random() < 0.15
          ? await send('DELETE', `${COLLECTION}/${name}`)
          : await send('PUT', `${COLLECTION}/${name}`, body).then((put) =>
              put === 404 ? send('POST', COLLECTION, body) : put,
            );
      if (status < 300) acknowledge();
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** What a list says: name to resourceVersion. */
async function truth(process: ControllerProcess, query = ''): Promise<Map<string, string>> {
  const api = new ContractApi(createHttpsTarget(process));
  const { items } = await api.expect(200, api.get(COLLECTION + query));
  await api.target.close();
  return new Map(
    items.map(({ metadata }: { metadata: { name: string; resourceVersion: string } }) => [
      metadata.name,
      metadata.resourceVersion,
    ]),
  );
}

/** Revisions of every event from `revision` on, as one watch that was never interrupted tells them. */
async function revisionsSince(process: ControllerProcess, revision: number): Promise<number[]> {
  const api = new ContractApi(createHttpsTarget(process));
  const frames = await api.watch(`${COLLECTION}?watch=true&resourceVersion=${revision}&timeoutSeconds=1`);
  const all = await frames.rest();
  await api.target.close();
  return all.map(({ object }) => Number(object.metadata.resourceVersion));
}

const isEqual = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>) =>
  a.size === b.size && [...a].every(([name, version]) => b.get(name) === version);

test(`${WATCHERS} watchers see every write of ${WRITERS} writers once and in order, through cuts and a killed controller (seed ${seed})`, async () => {
  const running = controller!;
  const stop = new AbortController();
  const connections = Array.from({ length: WATCHERS / WATCHERS_PER_CONNECTION }, () => new Connection(running));
  const watchers = Array.from(
    { length: WATCHERS },
    (_, i) =>
      new ResumingWatcher({
        path: COLLECTION,
        labelSelector: i < SELECTIVE ? 'half=a' : '',
        connection: connections[i % connections.length]!,
        random: seededRandom(seed + i),
        maxEventsPerWatch: WRITES / 3,
      }),
  );
  const runs = watchers.map((watcher) => watcher.run(stop.signal));
  await waitUntil('every watcher has its list', 20_000, () => watchers.every(({ lists }) => lists === 1));

  let written = 0;
  const writers = Array.from({ length: WRITERS }, (_, i) => {
    const connection = i % 5 === 0 ? new Connection(running) : connections[i % connections.length]!;
    return write(
      connection,
      () => (written += 1),
      () => written >= WRITES,
    );
  });
  for (let share = 1; share <= 8; share++) {
    await waitUntil('writes go on', 30_000, () => written >= (share * WRITES) / 10);
    if (share === 4) await running.restart('SIGKILL');
    else connections[pick(connections.length)]!.cut();
  }
  await Promise.all(writers);

  const [all, half] = [await truth(running), await truth(running, '?labelSelector=half%3Da')];
  await waitUntil('every watcher has the state of the store', 20_000, () =>
    watchers.every(({ state }, i) => isEqual(state, i < SELECTIVE ? half : all)),
  );
  expect(watchers.flatMap(({ problems }) => problems)).toEqual([]);
  // An outage within the kept history costs no list.
  expect(watchers.map(({ lists, gone }) => `${lists} ${gone}`).filter((text) => text !== '1 0')).toEqual([]);
  const reference = await revisionsSince(running, Math.min(...watchers.map(({ listedAt }) => listedAt)));
  for (const { listedAt, revisions } of watchers.slice(SELECTIVE))
    expect(revisions).toEqual(reference.filter((revision) => revision > listedAt));
  const watches = watchers.reduce((sum, one) => sum + one.watches, 0);
  console.info(
    `watch torture: ${written} writes, ${reference.length} events, ${watches} watches, 0 relists, seed ${seed}`,
  );

  // Who stays away for longer than the history is told so once, and lists once.
  const late = watchers.slice(-LATE);
  const comeBack = late.map((watcher) => watcher.pause());
  const api = new ContractApi(createHttpsTarget(running));
  await api.expect(201, api.post(COLLECTION, { metadata: { name: 'while-away', labels: { half: 'b' } } }));
  await api.target.compact();
  await api.expect(201, api.post(COLLECTION, { metadata: { name: 'after-all', labels: { half: 'a' } } }));
  await api.target.close();
  for (const resume of comeBack) resume();
  const now = await truth(running);
  await waitUntil('every watcher has the newest state', 20_000, () =>
    watchers.slice(SELECTIVE).every(({ state }) => isEqual(state, now)),
  );
  expect(late.map(({ lists, gone }) => `${lists} ${gone}`)).toEqual(late.map(() => '2 1'));
  expect(watchers.flatMap(({ problems }) => problems)).toEqual([]);
  stop.abort();
  for (const connection of connections) connection.cut();
  await Promise.all(runs);
}, 240_000);
