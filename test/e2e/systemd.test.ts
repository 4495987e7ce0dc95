import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { kubectlPath } from '#test/kit/kubectl.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { type SystemdHost, startSystemdHost, systemdHostProblem } from '#test/kit/systemd-host.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { SAMPLE_IMAGE } from '../../scripts/sample-image.ts';

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

  describe('and systemd-logind', { timeout: 900_000 }, () => {
    const WAIT_MS = 180_000;
    /** As long as a busy machine may need. */
    const patiently = (command: string) => host.ok(`${command} --timeout=${WAIT_MS}ms`, WAIT_MS + 30_000);
    const kubectl = `${kubectlPath()} --kubeconfig /etc/coracle/admin.kubeconfig`;
    const HELD = 'systemd-inhibit --list --no-legend | grep -q "coracle-agent.*shutdown.*delay"';
    const until = (condition: string) => host.ok(`while ! ${condition}; do sleep 0.2; done`, WAIT_MS);
    const statusOf = (pod: string) => JSON.parse(host.ok(`${kubectl} get pod ${pod} -o json`)).status;
    const samples = () =>
      host.ok(
        `${kubectl} get pods -l app=sample -o jsonpath='{range .items[*]}{.metadata.uid} {.status.containerStatuses[0].restartCount}{"\\n"}{end}'`,
      );
    /** Each takes its time to end, and tells of it. */
    const runJobs = () => {
      const pods = Object.entries({ 'low-job': undefined, 'critical-job': 'system-cluster-critical' }).map(
        ([name, priorityClassName]) => ({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name },
          spec: {
            restartPolicy: 'Never',
            priorityClassName,
            containers: [
              {
                name: 'main',
                image: SAMPLE_IMAGE,
                command: [
                  'sh',
                  '-c',
                  'trap "cat /proc/uptime; sleep 2; cat /proc/uptime; exit" TERM; while :; do sleep 0.1; done',
                ],
              },
            ],
          },
        }),
      );
      host.ok(`${kubectl} delete pod low-job critical-job --ignore-not-found --now`);
      host.ok(`${kubectl} apply -f - <<<'${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: pods })}'`);
      patiently(`${kubectl} wait --for=condition=Ready pod/low-job pod/critical-job`);
    };
    const expectJobsEnded = () => {
      const message = 'Pod was terminated in response to imminent node shutdown.';
      for (const name of ['low-job', 'critical-job'])
        expect(statusOf(name)).toMatchObject({
          phase: 'Failed',
          reason: 'Terminated',
          message,
          conditions: expect.arrayContaining([
            expect.objectContaining({ type: 'DisruptionTarget', status: 'True', reason: 'TerminationByKubelet' }),
          ]),
          containerStatuses: [{ state: { terminated: { exitCode: 0 } } }],
        });
      const times = (name: string) => host.ok(`${kubectl} logs ${name}`).trim().split('\n').map(Number.parseFloat);
      const [low, critical] = [times('low-job'), times('critical-job')];
      expect([low, critical].map(({ length }) => length)).toEqual([2, 2]);
      expect(critical[0]).toBeGreaterThanOrEqual(low[1]!);
    };

    beforeEach(({ skip }) => {
      const hasLogind = host.run('systemctl is-active systemd-logind').stdout.trim() === 'active';
      if (hasLogind) return;
      console.warn('e2e systemd: what logind does skipped: it does not run on that host');
      skip();
    });

    it('holds a lock that delays a shutdown of the host', () => {
      until(HELD);
    });

    it('ends pods by priority when a shutdown comes, and starts them again when it is called off', () => {
      runJobs();
      // A unit that cannot be started is what calls it off so late.
      host.ok('systemctl poweroff; systemctl mask --runtime poweroff.target');
      until('journalctl -u coracle-agent -o cat | grep -q "shutdown of the host was called off"');
      host.ok('systemctl unmask --runtime poweroff.target');
      expectJobsEnded();
      until(HELD);
      patiently(`${kubectl} wait --for=condition=Ready node --all`);
      patiently(`${kubectl} rollout status deployment/sample`);
    });

    it('ends pods by priority before the host is off, and starts again what is to return when it is on', async () => {
      runJobs();
      const before = samples();
      host.ok('systemctl poweroff');
      await host.poweredOff();
      await host.powerOn();
      // Logs are asked of the agent, which comes up beside the controller.
      until(`${kubectl} logs low-job`);
      expectJobsEnded();
      const next = before.replaceAll(/ (\d+)$/gm, (_, count) => ` ${Number(count) + 1}`);
      await waitUntil('the sample to run again', 60_000, () => samples() === next);
      patiently(`${kubectl} rollout status deployment/sample`);
      until(HELD);
    });
  });

  it('is undone by scripts/down', () => {
    host.ok(`cd / && ${root}/scripts/down`, 120_000);
    expect(host.ok('systemctl list-units --all --plain --no-legend "coracle-*"')).toBe('');
    expect(host.run('ls /etc/coracle /run/coracle').status).not.toBe(0);
  });
});
