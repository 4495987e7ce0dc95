import https from 'node:https';
import { expect, it } from 'vitest';
import { type BareServer, startBareServer } from '#test/kit/bare-server.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { cpuOfProcess } from '#test/kit/process-cpu.ts';

/*
 * What a request costs beside what node's own server takes for the same bytes. CPU rather than time, turn about, and the cheapest turn of
 * each, so that a busy machine says the same. A read costs 1.8 times as much, a creation 6 to 7 times; the limits
 * leave room for every machine and stand in the way of a layer that doubles the work.
 */
const LIMITS = { read: 4, creation: 15 };

const WIDTH = 8;
const WARM_REQUESTS = 2_000;
const REQUESTS = 500;
const TURNS = 3;

interface Ask {
  readonly server: string;
  readonly pid: number;
  readonly method: 'GET' | 'POST';
  /** Of the n-th request. */
  readonly path: (n: number) => string;
  readonly body?: (n: number) => string;
}

it('reads and creations cost a few times what a bare server costs', async () => {
  const controller = await startControllerProcess();
  let bare: BareServer | undefined;
  try {
    bare = await startBareServer(controller);
    await controller.client
      .resource({ group: '', version: 'v1', resource: 'namespaces', kind: 'Namespace', namespaced: false })
      .create({ metadata: { name: 'cost' } });
    const ratios = await costRatios(controller, bare);
    console.log(`a read costs ${ratios.read.toFixed(1)}, a creation ${ratios.creation.toFixed(1)} times a bare answer`);
    expect(ratios.read).toBeLessThan(LIMITS.read);
    expect(ratios.creation).toBeLessThan(LIMITS.creation);
  } finally {
    await bare?.stop();
    await controller.stop();
  }
});

async function costRatios(controller: ControllerProcess, bare: BareServer) {
  const { ca, cert, key, server } = controller.access;
  const agent = new https.Agent({ keepAlive: true, maxSockets: WIDTH, ca, cert, key });
  let n = 0;
  const run = async ({ server, method, path, body }: Ask, count: number): Promise<void> => {
    let left = count;
    const client = async () => {
      while (left-- > 0) await send(agent, { method, url: server + path(++n), body: body?.(n) });
    };
    await Promise.all(Array.from({ length: WIDTH }, client));
  };
  const cheapest = async (asks: readonly Ask[]): Promise<readonly number[]> => {
    for (const ask of asks) await run(ask, WARM_REQUESTS);
    const best = asks.map(() => Number.POSITIVE_INFINITY);
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [at, ask] of asks.entries()) {
        const before = cpuOfProcess(ask.pid);
        await run(ask, REQUESTS);
        best[at] = Math.min(best[at]!, (cpuOfProcess(ask.pid) - before) / REQUESTS);
      }
    }
    return best;
  };
  const collection = '/api/v1/namespaces/cost/configmaps';
  const body = (name: number) =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `n-${name}` },
      data: { value: 'x'.repeat(380) },
    });
  const creation = { method: 'POST', path: () => collection, body } as const;
  const read = { method: 'GET', path: (at: number) => `${collection}/n-${1 + (at % 100)}` } as const;
  try {
    const [own, floor] = await cheapest([
      { ...creation, server, pid: controller.pid },
      { ...creation, server: bare.url, pid: bare.pid },
    ]);
    const [ownRead, floorRead] = await cheapest([
      { ...read, server, pid: controller.pid },
      { ...read, server: bare.url, pid: bare.pid },
    ]);
    return { creation: own! / floor!, read: ownRead! / floorRead! };
  } finally {
    agent.destroy();
  }
}

function send(
  agent: https.Agent,
  { method, url, body }: { readonly method: string; readonly url: string; readonly body: string | undefined },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': body.length };
    const request = https.request(url, { agent, method, headers }, (response) => {
      response.resume();
      response.on('end', () =>
        response.statusCode! < 300 ? resolve() : reject(new Error(`${method} ${url}: ${response.statusCode}`)),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}
