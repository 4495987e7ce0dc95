import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RuntimeEvent } from '#agent/cri/runtime.ts';
import { containerConfig, runtimeContract, sandboxConfig } from '#agent/cri/testing/runtime-contract.ts';
import { missingForContainerd, startTestContainerd, type TestContainerd } from '#test/kit/containerd.ts';
import { type ContainerdPrograms, type ContainerdRelease, findContainerd } from '#test/kit/containerd-releases.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { findAbilities } from '#test/kit/runtime-abilities.ts';

const missing = missingForContainerd();
if (missing !== undefined) console.warn(`cri-containerd: skipped, ${missing}`);

const RELEASES: readonly ContainerdRelease[] = ['host', 'trixie', 'sid'];

for (const [index, release] of RELEASES.entries()) {
  const programs = missing ?? findContainerd(release);
  if (typeof programs === 'string') {
    console.warn(`cri-containerd: ${release} skipped, ${programs}`);
    describe.skip(`containerd of ${release}`);
    continue;
  }
  describe(`containerd ${programs.version} over CRI`, () => describeContainerd(programs, index));
}

/** docs/runtimes.md as rows: ability -> version -> `yes` or `no`. */
function abilitiesOf(version: string): Record<string, boolean> | undefined {
  const text = readFileSync(join(import.meta.dirname, '../../docs/runtimes.md'), 'utf8');
  const [head = [], , ...rows] = [...text.matchAll(/^\|(.*)\|$/gm)].map((row) =>
    row[1]!.split('|').map((cell) => cell.trim()),
  );
  const column = head.indexOf(version.replace(/\.\d+$/, ''));
  if (column < 0) return undefined;
  return Object.fromEntries(rows.map((cells) => [cells[0]!, cells[column] === 'yes']));
}

function describeContainerd({ folders: programFolders, version }: ContainerdPrograms, index: number): void {
  const told = abilitiesOf(version);
  if (told === undefined) console.warn(`cri-containerd: docs/runtimes.md tells nothing of ${version}`);

  it.skipIf(told === undefined)('can do what docs/runtimes.md tells, and lacks what it says', async () => {
    expect(await findAbilities(containerd)).toEqual(told);
  });

  let containerd: TestContainerd;
  const run = randomUUID();
  beforeAll(async () => {
    containerd = await startTestContainerd({
      programFolders,
      podSubnet: `10.88.7${index}.0/24`,
      bridgeName: `cortest7${index}`,
    });
  });
  afterAll(() => containerd?.stop());

  runtimeContract(() => ({
    runtime: containerd.runtime,
    image: BUSYBOX_IMAGE,
    podUid: (n) => `${run}-${n}`,
    logRoot: `${containerd.folder}/logs`,
    async exit(id, exitCode) {
      await containerd.runtime.execSync(
        id,
        ['/bin/sh', '-c', `echo ${exitCode} > /exit.new && mv /exit.new /exit`],
        10,
      );
    },
  }));

  const startPod = async (network: 'POD' | 'NODE', command: readonly string[]) => {
    const { runtime, folder } = containerd;
    const base = sandboxConfig(randomUUID(), `${folder}/logs`);
    const namespaces = { ...base.namespaces, network };
    const config = { ...base, namespaces, hostname: network === 'POD' ? 'box' : '' };
    const sandboxId = await runtime.runSandbox(config, '');
    const container = { ...containerConfig(BUSYBOX_IMAGE, 'main', { command }), namespaces };
    const containerId = await runtime.createContainer(sandboxId, container, config);
    await runtime.startContainer(containerId);
    return { config, sandboxId, containerId };
  };

  it('gives a sandbox on the pod network an address and its hostname', async () => {
    const { runtime } = containerd;
    const { sandboxId, containerId } = await startPod('POD', ['sleep', 'infinity']);
    expect((await runtime.sandboxStatus(sandboxId)).ips).toEqual([expect.stringContaining(`10.88.7${index}.`)]);
    const { stdout } = await runtime.execSync(containerId, ['hostname'], 10);
    expect(Buffer.from(stdout).toString()).toBe('box\n');
  });

  it('runs commands in a container with its environment, and tells their exit codes', async () => {
    const { runtime } = containerd;
    const { containerId } = await startPod('NODE', ['sleep', 'infinity']);
    const result = await runtime.execSync(containerId, ['sh', '-c', 'echo $GREETING; echo bad >&2; exit 3'], 10);
    expect(Buffer.from(result.stdout).toString()).toBe('grüß\n');
    expect(Buffer.from(result.stderr).toString()).toBe('bad\n');
    expect(result.exitCode).toBe(3);
    const slow = runtime.execSync(containerId, ['sleep', '60'], 1);
    await expect(slow).rejects.toMatchObject({ name: 'CriError', code: 4 });
  });

  it('writes the log where the configuration says', async () => {
    const { config } = await startPod('NODE', ['sh', '-c', 'echo hello']);
    const path = `${config.logDirectory}/main/0.log`;
    await expect.poll(() => readFile(path, 'utf8')).toMatch(/^\S+ stdout F hello\n$/);
  });

  it('does not take the end of an exec for the end of its container', async () => {
    const { runtime } = containerd;
    const { containerId } = await startPod('NODE', ['sleep', 'infinity']);
    const events: RuntimeEvent[] = [];
    const stop = new AbortController();
    runtime.watchEvents((event) => events.push(event), stop.signal);
    await runtime.execSync(containerId, ['true'], 10);
    await runtime.execSync(containerId, ['true'], 10);
    expect(events).not.toContainEqual({ kind: 'containerExited', containerId });
    await runtime.stopContainer(containerId, 0);
    await expect.poll(() => events).toContainEqual({ kind: 'containerExited', containerId });
    stop.abort();
  });

  it('tells of a lost event stream, and works on by itself when containerd is back, its containers untouched', async () => {
    const { runtime } = containerd;
    const { containerId } = await startPod('NODE', ['sleep', 'infinity']);
    const events: RuntimeEvent[] = [];
    const stop = new AbortController();
    runtime.watchEvents((event) => events.push(event), stop.signal);
    await runtime.execSync(containerId, ['true'], 10);
    await containerd.kill();
    await expect.poll(() => events).toContainEqual({ kind: 'lost' });
    await expect(runtime.version()).rejects.toMatchObject({ name: 'CriError', code: 14 });
    await containerd.restart();
    await expect
      .poll(() => runtime.containerStatus(containerId).catch(() => undefined), { timeout: 60_000 })
      .toMatchObject({ state: 'RUNNING' });
    // The stream comes back after its back-off; each exit until then may only be found by a relist.
    await expect
      .poll(
        async () => {
          const probe = await startPod('NODE', ['true']);
          await expect.poll(async () => (await runtime.containerStatus(probe.containerId)).state).toBe('EXITED');
          return events.some((event) => event.kind === 'containerExited' && event.containerId === probe.containerId);
        },
        { timeout: 60_000, interval: 100 },
      )
      .toBe(true);
    stop.abort();
  });
}
