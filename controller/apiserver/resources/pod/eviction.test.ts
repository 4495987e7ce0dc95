import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../../server/testing/test-server.ts';
import { createResourceServer } from '../testing/resource-server.ts';

const PODS = '/api/v1/namespaces/a/pods';
const BUDGETS = '/apis/policy/v1/namespaces/a/poddisruptionbudgets';
const labels = { app: 'web' };

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

async function patchStatus(path: string, status: object): Promise<void> {
  const headers = { 'content-type': 'application/merge-patch+json' };
  expect((await api.call('PATCH', `${path}/status`, { status }, headers)).status).toBe(200);
}

interface PodFacts {
  readonly phase?: string;
  readonly isReady?: boolean;
}

/** On a node, so that a deletion gives it time and it can be looked at afterwards. */
async function addPod(name: string, { phase = 'Running', isReady = true }: PodFacts = {}): Promise<void> {
  const spec = { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] };
  await api.expect(201, 'POST', PODS, { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels }, spec });
  const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False' }];
  await patchStatus(`${PODS}/${name}`, { phase, conditions });
}

interface BudgetStatus {
  readonly disruptionsAllowed?: number;
  readonly currentHealthy?: number;
  readonly desiredHealthy?: number;
  readonly expectedPods?: number;
  readonly observedGeneration?: number;
  readonly conditions?: readonly object[];
}

async function addBudget(name: string, status: BudgetStatus, spec: object = {}): Promise<void> {
  const metadata = { name };
  const all = { minAvailable: 1, selector: { matchLabels: labels }, ...spec };
  await api.expect(201, 'POST', BUDGETS, { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata, spec: all });
  const counted = {
    disruptionsAllowed: 0,
    currentHealthy: 1,
    desiredHealthy: 1,
    expectedPods: 1,
    observedGeneration: 1,
  };
  await patchStatus(`${BUDGETS}/${name}`, { ...counted, ...status });
}

const evict = (code: number, name: string, deleteOptions?: object, query = '') =>
  api.expect(code, 'POST', `${PODS}/${name}/eviction${query}`, {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: { name },
    ...(deleteOptions === undefined ? {} : { deleteOptions }),
  });
const podOf = (name: string) => api.expect(200, 'GET', `${PODS}/${name}`);
const isGoing = async (name: string) => (await podOf(name)).metadata.deletionTimestamp !== undefined;
const budgetOf = async (name: string) => (await api.expect(200, 'GET', `${BUDGETS}/${name}`)).status;

const VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget.";

describe('an eviction', () => {
  test('without a budget marks the pod and deletes it', async () => {
    await addPod('p');
    expect(await evict(201, 'p')).toMatchObject({ kind: 'Status', status: 'Success', code: 201 });
    expect(await isGoing('p')).toBe(true);
    expect((await podOf('p')).status.conditions).toContainEqual({
      type: 'DisruptionTarget',
      status: 'True',
      reason: 'EvictionByEvictionAPI',
      message: 'Eviction API: evicting',
      lastTransitionTime: expect.any(String),
      observedGeneration: expect.any(Number),
    });
  });

  test('that its budget allows is charged to it, and the next is refused', async () => {
    await addPod('p');
    await addPod('q');
    await addBudget('b', { disruptionsAllowed: 1, currentHealthy: 2 });
    await evict(201, 'p');
    expect(await isGoing('p')).toBe(true);
    expect(await budgetOf('b')).toMatchObject({
      disruptionsAllowed: 0,
      disruptedPods: { p: expect.any(String) },
      conditions: [{ type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods' }],
    });
    const refused = await evict(429, 'q');
    expect(refused).toMatchObject({
      reason: 'TooManyRequests',
      message: VIOLATED,
      details: {
        causes: [
          { reason: 'DisruptionBudget', message: 'The disruption budget b needs 1 healthy pods and has 2 currently' },
        ],
      },
    });
    expect(await isGoing('q')).toBe(false);
  });

  test('of many at once: no more than the budget allows', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `p${index}`);
    for (const name of names) await addPod(name);
    await addBudget('b', { disruptionsAllowed: 3, currentHealthy: 10, desiredHealthy: 7, expectedPods: 10 });
    const answers = await Promise.all(
      names.map((name) =>
        api.call('POST', `${PODS}/${name}/eviction`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name } }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 201, 201, 429, 429, 429, 429, 429, 429, 429]);
    expect((await Promise.all(names.map(isGoing))).filter(Boolean)).toHaveLength(3);
  });

  test('waits for a budget that nobody has counted since it changed', async () => {
    await addPod('p');
    await addBudget('b', { disruptionsAllowed: 5, observedGeneration: 0 });
    const { details } = await evict(429, 'p');
    expect(details).toMatchObject({
      retryAfterSeconds: 10,
      causes: [{ message: 'The disruption budget b is still being processed by the server.' }],
    });
  });

  test('says why a budget could not be counted', async () => {
    await addPod('p');
    const failed = { type: 'DisruptionAllowed', status: 'False', reason: 'SyncFailed', message: 'no scale' };
    await addBudget('b', { conditions: [{ ...failed, lastTransitionTime: '2026-01-01T00:00:00Z' }] });
    expect((await evict(429, 'p')).details.causes[0].message).toBe(
      'The disruption budget b does not allow evicting pods currently because it failed sync: no scale',
    );
  });

  test('of a pod under two budgets is refused', async () => {
    await addPod('p');
    await addBudget('b', { disruptionsAllowed: 1 });
    await addBudget('c', { disruptionsAllowed: 1 });
    expect((await evict(500, 'p')).message).toBe(
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  });

  test.each([
    ['has not started', { phase: 'Pending', isReady: false }],
    ['has ended', { phase: 'Succeeded', isReady: false }],
    ['has failed', { phase: 'Failed', isReady: false }],
  ])('of a pod that %s asks no budget', async (_, facts) => {
    await addPod('p', facts);
    await addBudget('b', { disruptionsAllowed: 0 });
    await evict(201, 'p');
  });

  test.each([
    ['while the others are enough', { currentHealthy: 2, desiredHealthy: 2 }, {}, 201],
    ['not while they are too few', { currentHealthy: 1, desiredHealthy: 2 }, {}, 429],
    [
      'always where its policy says so',
      { currentHealthy: 1, desiredHealthy: 2 },
      { unhealthyPodEvictionPolicy: 'AlwaysAllow' },
      201,
    ],
  ])('of a pod that is not ready: %s', async (_, status, spec, code) => {
    await addPod('p', { isReady: false });
    await addBudget('b', status, spec);
    await evict(code, 'p');
    expect(await budgetOf('b')).not.toHaveProperty('disruptedPods');
  });

  test('of a pod that the budget does not select is none of its business', async () => {
    await addPod('p');
    await addBudget('b', {}, { selector: { matchLabels: { app: 'other' } } });
    await evict(201, 'p');
  });

  test('tried with dryRun asks, and changes nothing', async () => {
    await addPod('p');
    await addBudget('b', { disruptionsAllowed: 1 });
    const before = await podOf('p');
    await evict(201, 'p', undefined, '?dryRun=All');
    await evict(201, 'p', { dryRun: ['All'] });
    expect(await podOf('p')).toEqual(before);
    expect(await budgetOf('b')).toMatchObject({ disruptionsAllowed: 1 });
    await addPod('q');
    await evict(201, 'q');
    await evict(429, 'p', { dryRun: ['All'] });
  });

  test('may be sent as clients of before Kubernetes 1.22 do, and as nothing else', async () => {
    await addPod('p');
    const send = (apiVersion: string, kind = 'Eviction') =>
      api.call('POST', `${PODS}/p/eviction`, { apiVersion, kind, metadata: { name: 'p' } });
    expect((await send('policy/v1beta2')).status).toBe(400);
    expect((await send('policy/v1beta1', 'Evict')).status).toBe(400);
    expect((await send('policy/v1beta1')).status).toBe(201);
  });

  test('of another pod than the preconditions mean is 409', async () => {
    await addPod('p');
    expect((await evict(409, 'p', { preconditions: { uid: 'x' } })).message).toContain(
      'the UID in the precondition (x) does not match the UID in record',
    );
    expect((await evict(409, 'p', { preconditions: { resourceVersion: '1' } })).message).toContain(
      'the ResourceVersion in the precondition (1) does not match the ResourceVersion in record',
    );
    const { uid, resourceVersion } = (await podOf('p')).metadata;
    await evict(201, 'p', { preconditions: { uid, resourceVersion }, gracePeriodSeconds: 7 });
    expect((await podOf('p')).metadata.deletionGracePeriodSeconds).toBe(7);
  });
});
