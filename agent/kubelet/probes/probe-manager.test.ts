import { afterEach, beforeEach, expect, test } from 'vitest';
import { CriError } from '../../cri/runtime.ts';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  await rig.start();
});
afterEach(() => rig.stop());

const http = { httpGet: { port: 'web', path: '/ok' }, periodSeconds: 5 };
const withProbes = (probes: object) =>
  rig.createPod({
    containers: [{ name: 'app', image: TEST_IMAGE, ports: [{ name: 'web', containerPort: 8080 }], ...probes }],
  });
const failing = { ok: false, message: 'HTTP probe failed with statuscode: 503' };

test('a readiness probe asks the named port of the pod and decides readiness by its thresholds', async () => {
  rig.prober.answer = failing;
  await withProbes({ readinessProbe: { ...http, failureThreshold: 2 } });
  await rig.advance(0);
  expect(rig.prober.asked).toContain('http://10.244.0.2:8080/ok');
  expect(rig.containerStatus()).toMatchObject({ ready: false, started: true });
  rig.prober.answer = { ok: true, message: '' };
  await rig.advance(5_000);
  expect(rig.condition('Ready')?.status).toBe('True');
  rig.prober.answer = failing;
  await rig.advance(5_000);
  expect(rig.condition('Ready')?.status).toBe('True');
  await rig.advance(5_000);
  expect(rig.condition('Ready')?.status).toBe('False');
  expect(rig.eventTexts()).toContain('Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503');
});

test('a liveness probe that fails three times restarts its container', async () => {
  rig.prober.answer = failing;
  await withProbes({ livenessProbe: { ...http, initialDelaySeconds: 10 } });
  await rig.advance(9_000);
  expect(rig.prober.asked).toEqual([]);
  await rig.advance(11_000);
  expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  expect(rig.eventTexts()).toContain('Killing: Container app failed liveness probe, will be restarted');
});

test('a startup probe holds back the others until it passes', async () => {
  rig.prober.answer = failing;
  await withProbes({ startupProbe: { ...http, failureThreshold: 10 }, readinessProbe: { tcpSocket: { port: 9 } } });
  await rig.advance(11_000);
  expect(rig.prober.asked.some((asked) => asked.startsWith('tcp'))).toBe(false);
  expect(rig.containerStatus()).toMatchObject({ started: false, ready: false });
  rig.prober.answer = { ok: true, message: '' };
  await rig.advance(5_000);
  expect(rig.containerStatus()).toMatchObject({ started: true, ready: true });
});

test('an exec probe runs in the container', async () => {
  rig.runtime.onExecSync = () => ({ stdout: Buffer.from('not yet'), stderr: new Uint8Array(), exitCode: 1 });
  await withProbes({ readinessProbe: { exec: { command: ['check'] } } });
  await rig.advance(0);
  expect(rig.runtime.callsOf('execSync')[0]?.args[1]).toEqual(['check']);
  expect(await rig.eventTextsInTheEnd()).toContain('Unhealthy: Readiness probe failed: not yet');
});

test.each([
  ['a port that nobody has named', { httpGet: { port: 'nope' } }, `couldn't find port "nope" in container app`],
  ['a program that is not there', { exec: { command: ['nope'] } }, 'exec: "nope": executable file not found'],
])('%s is an error of the probe and ends no container', async (_, handler, message) => {
  rig.runtime.onExecSync = () => {
    throw new CriError(2, 'exec: "nope": executable file not found');
  };
  await withProbes({ livenessProbe: { ...handler, periodSeconds: 1, failureThreshold: 1 } });
  await rig.advance(10_000);
  expect(rig.containerStatus()).toMatchObject({ ready: true, restartCount: 0 });
  expect(rig.eventTexts()).toContain(`Unhealthy: Liveness probe errored and resulted in unknown state: ${message}`);
});

test('a command that takes too long has failed', async () => {
  rig.runtime.onExecSync = () => {
    throw new CriError(4, 'failed to exec in container: timeout 2s exceeded: context deadline exceeded');
  };
  await withProbes({ readinessProbe: { exec: { command: ['sleep', '9'] }, timeoutSeconds: 2 } });
  await rig.advance(0);
  const message = 'Readiness probe failed: command timed out: "sleep 9" timed out after 2s';
  expect(await rig.eventTextsInTheEnd()).toContain(`Unhealthy: ${message}`);
});

test('a gRPC probe asks for its service', async () => {
  await withProbes({ readinessProbe: { grpc: { port: 50_051, service: 'ready' } } });
  await rig.advance(0);
  expect(rig.prober.asked).toEqual(['grpc://10.244.0.2:50051/ready']);
  expect(rig.containerStatus()?.ready).toBe(true);
});

test('a restart of the agent does not make a ready pod unready', async () => {
  await withProbes({ readinessProbe: { ...http, initialDelaySeconds: 100 } });
  await rig.advance(100_000);
  expect(rig.containerStatus()?.ready).toBe(true);
  const before = rig.cluster.actions.length;
  await rig.restart();
  expect(
    rig.cluster.actions
      .slice(before)
      .filter(({ subresource, resource }) => subresource === 'status' && resource === 'pods'),
  ).toEqual([]);
});
