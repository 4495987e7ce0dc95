import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { labProblem } from '#test/kit/network-lab.ts';
import { type SystemdHost, startSystemdHost, systemdHostProblem } from '#test/kit/systemd-host.ts';

const root = join(import.meta.dirname, '..', '..');
const problem = labProblem() ?? systemdHostProblem();
if (problem !== undefined) console.warn(`e2e systemd skipped: ${problem}`);

/** Unit and score, as the page says. */
const SCORES = [
  ...readFileSync(join(root, 'docs', 'hardening.md'), 'utf8').matchAll(/^\| `(coracle-\w+)` +\| ([\d.]+) +\|$/gm),
].map(([, unit, score]) => [unit!, Number(score)] as const);

describe.skipIf(problem !== undefined)('on a host with systemd, scripts/up', () => {
  let host: SystemdHost;

  beforeAll(async () => {
    host = await startSystemdHost('systemd');
    // Ends once the sample Service has answered.
    host.ok(`cd / && ${root}/scripts/up`, 300_000);
  }, 400_000);
  afterAll(() => host?.stop());

  const show = (unit: string, property: string) => host.ok(`systemctl show -P ${property} ${unit}`).trim();

  it.each(SCORES)('runs %s as a unit that has not fallen over', (unit) => {
    expect([show(unit, 'ActiveState'), show(unit, 'NRestarts')]).toEqual(['active', '0']);
  });

  it.each(SCORES)('leaves %s exposed no more than the page says', (unit, score) => {
    const said = host.ok(`systemd-analyze security --no-pager ${unit}.service | tail -n 1`);
    expect(Number(/: ([\d.]+)/.exec(said)?.[1])).toBeLessThanOrEqual(score);
  });

  it('hardens without breaking: nothing that our processes tried was refused', () => {
    const journal = host.ok('journalctl -o cat --no-pager -u coracle-controller -u coracle-agent');
    expect(journal).toContain('"component":"agent');
    const refused = journal.split('\n').filter((line) => /EPERM|EACCES|EROFS|not permitted|ead-only/.test(line));
    expect(refused).toEqual([]);
  });

  it('holds the controller to what the unit says', () => {
    const pid = show('coracle-controller', 'MainPID');
    const status = host.ok(`grep -E '^(NoNewPrivs|Seccomp|CapBnd):' /proc/${pid}/status`);
    // CAP_DAC_OVERRIDE and CAP_NET_BIND_SERVICE.
    expect(status.replaceAll('\t', '')).toBe('CapBnd:0000000000000402\nNoNewPrivs:1\nSeccomp:2\n');
    const inside = (command: string) => host.run(`nsenter -t ${pid} -m ${command}`);
    for (const path of ['/usr/x', '/home/x', '/var/log/x', '/root/x'])
      expect(inside(`touch ${path}`).stderr, path).toContain('Read-only file system');
    expect(inside('touch /var/lib/coracle/x /etc/coracle/x').status).toBe(0);
    expect(inside('ls /dev/sda /dev/kmsg').status).not.toBe(0);
  });

  it('keeps pods out of the units: they outlive a restart of the agent', () => {
    const containers = () =>
      host.ok(
        `for p in /proc/[0-9]*; do grep -qs kubepods $p/cgroup && echo $p $(cat $p/cgroup | sort | tail -1); done | sort`,
      );
    const before = containers();
    expect(before.trim().split('\n').length).toBeGreaterThanOrEqual(2);
    expect(before).not.toMatch(/coracle-\w+\.service/);
    host.ok('systemctl restart coracle-agent');
    expect(containers()).toBe(before);
  });

  it('holds a lock of logind that delays a shutdown of the host', ({ skip }) => {
    const hasLogind = host.run('systemctl is-active systemd-logind').stdout.trim() === 'active';
    if (!hasLogind) console.warn('e2e systemd: the lock of logind skipped: logind does not run on that host');
    if (!hasLogind) skip();
    const held = 'systemd-inhibit --list --no-legend | grep -q "coracle-agent.*shutdown.*delay"';
    host.ok(`for i in $(seq 100); do ${held} && exit; sleep 0.3; done; exit 1`);
  });

  it('is undone by scripts/down', () => {
    host.ok(`cd / && ${root}/scripts/down`, 120_000);
    expect(host.ok('systemctl list-units --all --plain --no-legend "coracle-*"')).toBe('');
    expect(host.run('ls /etc/coracle /run/coracle').status).not.toBe(0);
  });
});
