import { expect, it } from 'vitest';
import type { Informer } from '#api/client/informer.ts';
import { NODE_POLICY_KEY, type NodePolicy } from '#api/network/node-policy.ts';
import type { ConfigMap } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { ExecError } from '../../host/host.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { createPolicyEnforcer } from './policy-enforcer.ts';

const POLICY: NodePolicy = { sets: {}, groups: [{ pods: ['10.244.0.7'], ingress: [] }] };

function rig() {
  const { exec } = new FakeHost();
  const clock = new FakeClock();
  const stop = new AbortController();
  let problems: readonly NetworkProblem[] = [];
  const compiled = {
    addHandler() {},
    waitForSync: async () => {},
    list: () => [{ data: { [NODE_POLICY_KEY]: JSON.stringify(POLICY) } }],
  } as unknown as Informer<ConfigMap>;
  const enforcer = createPolicyEnforcer({
    ...{ exec, clock, log: silentLogger, compiled, families: ['IPv4'], dns: undefined, clusterDns: [] },
    onProblems: (found) => (problems = found),
  });
  const written = () => exec.calls.filter(({ stdin }) => stdin?.includes('coracle-policy')).length;
  return { exec, clock, stop, enforcer, written, problems: () => problems };
}

it('policies that the kernel refuses are told of once they were tried again, and no more when it takes them', async () => {
  const { exec, clock, stop, enforcer, written, problems } = rig();
  let refuses = true;
  exec.respond((argv, stdin) =>
    refuses && stdin !== undefined
      ? new ExecError(argv, 1, 'Could not process rule: Operation not supported')
      : undefined,
  );
  enforcer.start(stop.signal);
  await expect.poll(written).toBe(1);
  await clock.advance(0);
  expect(problems()).toEqual([]);
  await clock.advance(1_000);
  await expect.poll(problems).toMatchObject([{ reason: 'PoliciesNotEnforced', isDegraded: true }]);
  expect(problems()[0]?.cause).toContain('Operation not supported');
  refuses = false;
  await clock.advance(60_000);
  await expect.poll(problems).toEqual([]);
  stop.abort();
});

it('knows when its table is gone, and writes it again', async () => {
  const { exec, stop, enforcer, written } = rig();
  expect(await enforcer.isIntact(), 'nothing was written yet').toBe(true);
  enforcer.start(stop.signal);
  await expect.poll(() => enforcer.isIntact()).toBe(false);
  exec.respond((argv) =>
    argv.join(' ') === 'nft list tables' ? 'table ip nat\ntable ip coracle-policy\n' : undefined,
  );
  expect(await enforcer.isIntact()).toBe(true);
  enforcer.reassert();
  await expect.poll(written).toBe(2);
  stop.abort();
});
