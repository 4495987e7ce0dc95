import { expect, it } from 'vitest';
import { FakeExecutor } from '#test/kit/fake-host.ts';
import { createIptablesBackend } from './iptables-backend.ts';

const FIREWALL =
  'FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL';
const FORWARD = 'FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD';

/** The rules of FORWARD after a full sync, as the kernel would have them. */
async function forwardAfterSync(before: readonly string[]): Promise<readonly string[]> {
  const exec = new FakeExecutor();
  const chain = [...before];
  exec.respond((argv, stdin) => {
    if (argv[0] === 'save') return ['*filter', ...chain.map((rule) => `-A ${rule}`), 'COMMIT'].join('\n');
    for (const line of stdin?.split('\n') ?? []) {
      const [operation, rule] = [line.slice(0, 2), line.slice(3)];
      if (!rule.startsWith('FORWARD ')) continue;
      if (operation === '-I') chain.unshift(rule);
      else chain.splice(chain.indexOf(rule), 1);
    }
    return undefined;
  });
  const binaries = { variant: 'nft', iptables: 'iptables', restore: 'restore', save: 'save' } as const;
  const rules = { family: 'IPv4', clusterCidr: '10.244.0.0/16', localhostNodePorts: true, randomFully: true } as const;
  await createIptablesBackend({ exec, binaries, rules }).fullSync([]);
  return chain;
}

const targets = (chain: readonly string[]) => chain.map((rule) => rule.split(' ').at(-1));
const OWN = ['KUBE-PROXY-FIREWALL', 'KUBE-EXTERNAL-SERVICES', 'KUBE-SERVICES', 'KUBE-FORWARD'];

it.each([
  { name: 'nothing of ours', before: ['FORWARD -j DOCKER'] },
  { name: 'the order of an earlier agent', before: [FORWARD, FIREWALL, 'FORWARD -j DOCKER'] },
  { name: 'the last of them alone', before: [FORWARD, 'FORWARD -j DOCKER'] },
  { name: 'the first of them alone', before: [FIREWALL, 'FORWARD -j DOCKER'] },
  { name: 'one of them twice', before: [FORWARD, 'FORWARD -j DOCKER', FORWARD] },
])('load-balancer source ranges are judged before pods pass, where there was $name', async ({ before }) => {
  const chain = await forwardAfterSync(before);
  expect(targets(chain)).toEqual([...OWN, 'DOCKER']);
  expect(await forwardAfterSync(chain)).toEqual(chain);
});
