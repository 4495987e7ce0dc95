import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { ServicePortPlan } from '../service-port-plan.ts';
import { computeHealthChecks, HealthCheckPorts } from './health-check-ports.ts';
import { answerHealthPath } from './proxy-server.ts';

const plan = (id: string, healthCheckNodePort: number, addresses: readonly string[]) =>
  ({
    id,
    healthCheckNodePort,
    localEndpoints: addresses.map((address) => ({ address, port: 80, isLocal: true })),
  }) as unknown as ServicePortPlan;

it('health checks count the pods of this node once, however many ports the Service has', () => {
  const checks = computeHealthChecks([
    plan('ns/a:http', 32_000, ['10.244.0.1', '10.244.0.2']),
    plan('ns/a:https', 32_000, ['10.244.0.2']),
    plan('ns/b', 0, ['10.244.0.1']),
    plan('ns/c', 32_001, []),
  ]);
  expect([...checks].map(([port, { name, localEndpoints }]) => [port, name, localEndpoints])).toEqual([
    [32_000, 'a', 2],
    [32_001, 'c', 0],
  ]);
});

it('a health-check node port answers 200 with a local endpoint and 503 without', async () => {
  let healthy = true;
  const ports = new HealthCheckPorts({ log: silentLogger, isHealthy: () => healthy });
  const port = 31_000 + (process.pid % 500);
  const ask = async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    return {
      status: response.status,
      weight: response.headers.get('x-load-balancing-endpoint-weight'),
      body: await response.json(),
    };
  };
  const check = (localEndpoints: number) => new Map([[port, { namespace: 'ns', name: 'a', localEndpoints }]]);
  try {
    ports.apply(check(2));
    await expect
      .poll(() => ask().catch(() => undefined))
      .toEqual({
        status: 200,
        weight: '2',
        body: { service: { namespace: 'ns', name: 'a' }, localEndpoints: 2, serviceProxyHealthy: true },
      });
    ports.apply(check(0));
    expect((await ask()).status).toBe(503);
    ports.apply(check(1));
    healthy = false;
    expect((await ask()).status).toBe(503);
  } finally {
    ports.close();
  }
  await expect(ask()).rejects.toThrow();
});

describe('the health of the proxy', () => {
  it.each([
    { name: 'nothing waits', waitingForMs: undefined, eligible: true, healthz: 200, livez: 200 },
    { name: 'a change waits since a moment', waitingForMs: 1_000, eligible: true, healthz: 200, livez: 200 },
    { name: 'a change waits for minutes', waitingForMs: 130_000, eligible: true, healthz: 503, livez: 503 },
    { name: 'the node is about to go', waitingForMs: undefined, eligible: false, healthz: 503, livez: 200 },
  ])('$name: healthz $healthz, livez $livez', ({ waitingForMs, eligible, healthz, livez }) => {
    const clock = new FakeClock();
    const now = clock.monotonic();
    const status = { lastSyncMs: now, waitingSinceMs: waitingForMs === undefined ? undefined : now - waitingForMs };
    const options = {
      clock,
      status,
      mode: 'nftables',
      isNodeEligible: () => eligible,
      renderMetrics: () => '',
      healthzPort: 0,
      metricsPort: 0,
    };
    expect(answerHealthPath('/healthz', options)?.status).toBe(healthz);
    expect(answerHealthPath('/livez', options)?.status).toBe(livez);
    expect(answerHealthPath('/else', options)).toBeUndefined();
  });
});
