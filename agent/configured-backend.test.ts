import { expect, it } from 'vitest';
import { parseConfig } from '#base/config.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { AGENT_CONFIG } from './config.ts';
import { configuredBackend } from './configured-backend.ts';

it('node ports answer on the addresses that the node found by itself, where primary is asked for', async () => {
  const { exec } = new FakeHost();
  const argv = ['--node-port-addresses', 'primary', '--proxy-mode', 'iptables'];
  const config = parseConfig(AGENT_CONFIG, { argv, env: {} });
  const backend = await configuredBackend(config, { exec, log: silentLogger, nodeIps: ['192.0.2.7', 'fd00::7'] });
  await backend.fullSync([]);
  const rules = exec.calls
    .map(({ stdin }) => stdin ?? '')
    .join('')
    .split('\n');
  expect(rules.filter((rule) => rule.endsWith('-j KUBE-NODEPORTS'))).toEqual([
    expect.stringMatching(/ -d 192\.0\.2\.7\/32 -m addrtype --dst-type LOCAL /),
  ]);
});
