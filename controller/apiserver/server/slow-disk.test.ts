import { beforeEach, describe, expect, it } from 'vitest';
import type { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createStoreOverLog, immediateLog } from '../../store/memory-store.ts';
import { GatedCommitLog } from '../../store/testing/gated-commit-log.ts';
import { createClassifier } from '../registry/classify.ts';
import { leases } from '../resources/leases.ts';
import { createTestServer, type TestServer } from './testing/test-server.ts';
import { toyConfigMaps } from './testing/toy-resources.ts';

const CONFIG_MAPS = '/api/v1/namespaces/a/configmaps';
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/a/leases';
const QUEUE_LIMIT = 10;
const definitions = [toyConfigMaps, leases];

const configMap = (name: string) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name } });
const lease = (second: number) => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name: 'node' },
  spec: { holderIdentity: 'node', renewTime: `2026-01-01T00:00:${String(second).padStart(2, '0')}.000000Z` },
});

describe('an API server over a disk that stalls for 30 s', () => {
  let clock: FakeClock;
  let disk: GatedCommitLog;
  let api: TestServer;

  /** As an agent does: read, then written over that revision. */
  const renew = async (second: number) => {
    const { metadata } = await api.expect(200, 'GET', `${LEASES}/node`);
    return api.expect(200, 'PUT', `${LEASES}/node`, { ...lease(second), metadata });
  };

  beforeEach(async () => {
    disk = new GatedCommitLog(immediateLog);
    api = createTestServer({
      definitions,
      extend: (parts) => {
        clock = parts.clock;
        const options = {
          clock,
          log: silentLogger,
          classify: createClassifier(definitions),
          pipelineLimits: { maxQueuedWrites: QUEUE_LIMIT },
        };
        return { store: createStoreOverLog(options, disk) };
      },
    });
    await api.expect(201, 'POST', CONFIG_MAPS, configMap('there'));
    await api.expect(201, 'POST', LEASES, lease(0));
    await renew(1);
    disk.stall();
  });

  it('answers reads and renewals of leases all the while', async () => {
    const stuck = api.call('POST', CONFIG_MAPS, configMap('stuck'));
    for (let second = 2; second < 30; second++) {
      await clock.advance(1_000);
      const renewed = await renew(second);
      expect(renewed.spec.renewTime).toBe(lease(second).spec.renewTime);
      expect((await api.expect(200, 'GET', CONFIG_MAPS)).items).toHaveLength(1);
      await api.expect(200, 'GET', `${CONFIG_MAPS}/there`);
    }
    disk.release();
    expect((await stuck).status).toBe(201);
  });

  it('turns away what the queue cannot hold, and says when to come again', async () => {
    const waiting = Array.from({ length: QUEUE_LIMIT }, (_, i) => api.call('POST', CONFIG_MAPS, configMap(`w${i}`)));
    await clock.advance(0);
    const refused = await api.call('POST', CONFIG_MAPS, configMap('refused'));
    expect([refused.status, refused.headers['retry-after'] ?? refused.headers['Retry-After']]).toEqual([429, '1']);
    expect(await refused.json()).toMatchObject({ kind: 'Status', reason: 'TooManyRequests' });
    disk.release();
    for (const answer of await Promise.all(waiting)) expect(answer.status).toBe(201);
  });

  it('answers 504 at the deadline of a write whose fate it does not know', async () => {
    const write = api.call('POST', `${CONFIG_MAPS}?timeout=10s`, configMap('late'));
    await clock.advance(11_000);
    const answer = await write;
    expect(answer.status).toBe(504);
    expect(await answer.json()).toMatchObject({ kind: 'Status', reason: 'Timeout' });
    disk.release();
    await clock.advance(0);
    await api.expect(200, 'GET', `${CONFIG_MAPS}/late`);
  });
});
