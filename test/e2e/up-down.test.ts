import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { findAnonymousAnswers, PUBLIC_PATHS, pathsToTry } from '#test/kit/anonymous-paths.ts';
import { cisChecks, runCisCheck } from '#test/kit/cis-benchmark.ts';
import { compareHosts, type HostSnapshot, takeHostSnapshot } from '#test/kit/host-snapshot.ts';
import { runKubectl } from '#test/kit/kubectl.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const root = join(import.meta.dirname, '..', '..');
const problem = labProblem() ?? (existsSync('/etc/coracle') ? 'this host already runs Coracle' : undefined);
if (problem !== undefined) console.warn(`e2e up and down skipped: ${problem}`);

const script = (name: string) =>
  spawnSync(join(root, 'scripts', name), { encoding: 'utf8', timeout: 240_000, cwd: '/' });

describe.skipIf(problem !== undefined)('scripts/up and scripts/down', () => {
  let before: HostSnapshot;

  beforeAll(() => {
    before = takeHostSnapshot();
  });
  afterAll(() => {
    script('down');
  });

  it('ends with the sample Service answering, and a second run changes nothing', { timeout: 400_000 }, async () => {
    const first = script('up');
    expect(first.status, first.stderr).toBe(0);
    const url = /answers "Hello from sample-\S+" at (http:\/\/10\.96\.\S+)/.exec(first.stdout)?.[1];
    expect(url, first.stdout).toBeDefined();
    expect(await (await fetch(url!)).text()).toMatch(/^Hello from sample-/);
    const facts = () =>
      ['controller', 'agent', 'containerd'].map((name) => readFileSync(`/run/coracle/${name}.child.pid`, 'utf8'));
    const running = existsSync('/run/systemd/system') ? [] : facts();
    const second = script('up');
    expect(second.status, second.stderr).toBe(0);
    expect(second.stdout).toContain(url);
    if (running.length > 0) expect(facts()).toEqual(running);
  });

  it('has defaults that tell strangers nothing, and keep the CIS benchmark', { timeout: 240_000 }, async () => {
    const kubeconfig = '/etc/coracle/admin.kubeconfig';
    const { server } = parseKubeconfig(readFileSync(kubeconfig, 'utf8'));
    const { stdout } = await runKubectl(['get', '--raw', '/openapi/v2'], { kubeconfig });
    const answered = await findAnonymousAnswers(server, pathsToTry(JSON.parse(stdout)));
    expect(answered).toEqual(PUBLIC_PATHS.map((path) => `200 ${path}`));
    const variables = {
      DATA: '/var/lib/coracle/controller',
      ADMIN: kubeconfig,
      KUBECONFIG: kubeconfig,
      PID: existsSync('/run/systemd/system')
        ? spawnSync('systemctl', ['show', '-P', 'MainPID', 'coracle-controller'], { encoding: 'utf8' }).stdout.trim()
        : readFileSync('/run/coracle/controller.child.pid', 'utf8').trim(),
      SERVER: server,
      NODE: new URL(server).hostname,
    };
    const checks = [...cisChecks('Control plane'), ...cisChecks('Nodes')];
    const wrong: unknown[] = [];
    const work = async () => {
      for (let check = checks.pop(); check !== undefined; check = checks.pop()) {
        const said = await runCisCheck(check, { variables });
        if (!check.expected.test(said)) wrong.push([check.id, check.what, said]);
      }
    };
    await Promise.all([work(), work(), work()]);
    expect(wrong).toEqual([]);
  });

  it('leaves nothing behind', { timeout: 240_000 }, () => {
    const down = script('down');
    expect(down.status, down.stderr).toBe(0);
    expect(down.stdout).toContain('containerd');
    expect(compareHosts(before, takeHostSnapshot())).toEqual([]);
  });

  it('leaves nothing behind after kill -9 in the middle of scripts/up', { timeout: 400_000 }, async () => {
    const up = spawn(join(root, 'scripts', 'up'), { detached: true, stdio: 'ignore', cwd: '/' });
    await waitUntil('the agent to be started', 120_000, () => existsSync('/run/coracle/agent.pid'));
    process.kill(-up.pid!, 'SIGKILL');
    const down = script('down');
    expect(down.status, down.stderr).toBe(0);
    expect(compareHosts(before, takeHostSnapshot())).toEqual([]);
  });

  it('starts over a run that ended long ago: a process number given away, a token expired', {
    timeout: 400_000,
  }, () => {
    const bystander = spawn('sleep', ['600']);
    try {
      for (const folder of ['/run/coracle', '/etc/coracle']) mkdirSync(folder, { recursive: true });
      writeFileSync('/run/coracle/controller.pid', `${bystander.pid}\n`);
      const address = Object.values(networkInterfaces())
        .flatMap((entries) => entries ?? [])
        .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
      const expired = `token: "abcdef.0123456789abcdef@sha256:${'0'.repeat(64)}"`;
      writeFileSync('/etc/coracle/agent.yaml', `servers:\n  - https://${address}:6443\n${expired}\nlogLevel: debug\n`);
      const up = script('up');
      expect(up.status, up.stderr).toBe(0);
      expect(readFileSync('/etc/coracle/agent.yaml', 'utf8')).toContain('logLevel: debug');
      const down = script('down');
      expect(down.status, down.stderr).toBe(0);
      expect([bystander.exitCode, bystander.signalCode]).toEqual([null, null]);
      expect(compareHosts(before, takeHostSnapshot())).toEqual([]);
    } finally {
      bystander.kill();
    }
  });
});
