import { beforeAll, describe, expect, test } from 'vitest';
import type { ContractApi, ContractReply, ContractSuite } from '../contract/contract-target.ts';
import { bodyCorpus } from './body-corpus.ts';
import { CONFIG_MAPS, DEPLOYMENTS, type FuzzCase, NAMESPACE } from './fuzz-case.ts';
import { randomCall } from './random-call.ts';
import { requestCorpus } from './request-corpus.ts';

/** Tests of bad input run for as long as its largest bodies need. */
const TIMEOUT_MS = 60_000;
const ROUNDS = 1_500;
const SEED = Number(process.env.CORACLE_FUZZ_SEED ?? 20_260_101);

/** Without replicas, so that no controller has anything to do. */
const DEPLOYMENT = {
  metadata: { name: 'target' },
  spec: {
    replicas: 0,
    paused: true,
    selector: { matchLabels: { a: 'b' } },
    template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } },
  },
};

/** What every refusal is: a Status that tells the code of the answer. */
function expectStatus(reply: ContractReply): void {
  expect(reply.body, reply.text.slice(0, 200)).toMatchObject({ kind: 'Status', status: 'Failure', code: reply.status });
  expect(reply.text.length, 'an answer that is as large as the question').toBeLessThan(5_000_000);
}

async function prove(api: ContractApi, wanted: FuzzCase): Promise<void> {
  const reply = await api.send(wanted);
  expect(reply.status, reply.text.slice(0, 300)).toBeLessThan(500);
  if (wanted.expect === 'refused') expect(reply.status, reply.text.slice(0, 300)).toBeGreaterThanOrEqual(400);
  if (reply.status >= 400) expectStatus(reply);
}

/** Bad input of every kind gets an answer, and the next request gets its own. */
export function describeFuzz({ api }: ContractSuite): void {
  beforeAll(async () => {
    await api().post('/api/v1/namespaces', { metadata: { name: NAMESPACE } });
    await api().expect(201, api().post(DEPLOYMENTS, DEPLOYMENT));
    await api().expect(201, api().post(CONFIG_MAPS, { metadata: { name: 'target' }, data: { a: 'b' } }));
  });

  describe('bad bodies', () => {
    test.each(bodyCorpus().map((wanted) => [wanted.name, wanted] as const))(
      '%s',
      async (_name, wanted) => {
        await prove(api(), wanted);
      },
      TIMEOUT_MS,
    );
  });

  describe('bad requests', () => {
    test.each(requestCorpus().map((wanted) => [wanted.name, wanted] as const))(
      '%s',
      async (_name, wanted) => {
        await prove(api(), wanted);
      },
      TIMEOUT_MS,
    );
  });

  test(
    `${ROUNDS} random requests from seed ${SEED}`,
    async () => {
      for (let round = 0; round < ROUNDS; round++) {
        const call = randomCall(SEED + round);
        const reply = await api().send(call);
        const label = `CORACLE_FUZZ_SEED=${SEED + round}: ${call.method} ${call.path}: ${reply.text.slice(0, 300)}`;
        expect(reply.status, label).toBeLessThan(500);
        if (reply.status >= 400) expect(reply.body, label).toMatchObject({ kind: 'Status', code: reply.status });
      }
    },
    TIMEOUT_MS,
  );

  test('nothing of it stays behind', async () => {
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    const target = await api().expect(200, api().get(`${CONFIG_MAPS}/target`));
    expect(target.data).toMatchObject({ a: 'b' });
    expect(Object.hasOwn(target, 'polluted')).toBe(false);
  });
}
