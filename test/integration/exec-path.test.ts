import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { containerConfig, sandboxConfig } from '#agent/cri/testing/runtime-contract.ts';
import { attachUntilEnd, END_TICKER, TICKER } from '#test/kit/attach.ts';
import { missingForContainerd, startTestContainerd, type TestContainerd } from '#test/kit/containerd.ts';
import { type ExecPath, type PathPod, startExecPath } from '#test/kit/exec-path.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { kubectlPath, runKubectl } from '#test/kit/kubectl.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const missing = missingForContainerd();
if (missing !== undefined) console.warn(`exec-path: skipped, ${missing}`);

/** Prints two lines, then serves /tmp/www on 8080 and waits. */
const MAIN = `
echo started; echo ready
mkdir -p /tmp/www && echo hello from httpd > /tmp/www/index.html
exec httpd -f -p 8080 -h /tmp/www`;

describe.skipIf(missing !== undefined)('streaming through API server, tunnel and node', () => {
  let containerd: TestContainerd;
  let path: ExecPath;

  beforeAll(async () => {
    containerd = await startTestContainerd({ podSubnet: '10.88.72.0/24', bridgeName: 'cortest72' });
    path = await startExecPath(containerd);
    await waitUntil('the tunnel is up', 10_000, () => path.hub.isConnected('n1'));
    await startPod('web', { main: ['sh', '-c', MAIN], ended: ['sh', '-c', 'echo bye'] });
  });
  afterAll(async () => {
    await path?.stop();
    await containerd?.stop();
  });

  async function startPod(
    name: string,
    commands: Readonly<Record<string, readonly string[]>>,
  ): Promise<PathPod['containers']> {
    const { runtime, folder } = containerd;
    const base = sandboxConfig(randomUUID(), `${folder}/logs`);
    const namespaces = { ...base.namespaces, network: 'POD' as const };
    const config = { ...base, namespaces, hostname: name };
    const sandboxId = await runtime.runSandbox(config, '');
    const containers: Record<string, { id: string; logPath: string }> = {};
    for (const [container, command] of Object.entries(commands)) {
      const settings = { ...containerConfig(BUSYBOX_IMAGE, container, { command }), namespaces };
      const id = await runtime.createContainer(sandboxId, settings, config);
      await runtime.startContainer(id);
      containers[container] = { id, logPath: `${config.logDirectory}/${container}/0.log` };
    }
    const [ip = ''] = (await runtime.sandboxStatus(sandboxId)).ips;
    path.addPod({ name, sandboxId, ip, containers });
    return containers;
  }

  const kubectl = (args: readonly string[], stdin?: string) =>
    runKubectl(args, { kubeconfig: path.kubeconfig, ...(stdin === undefined ? {} : { stdin }) });

  /** kubectl with its newer protocol, and with the one that kubectl used until 1.30. */
  describe.each(['websockets', 'spdy'])('kubectl over %s', (protocol) => {
    beforeAll(() => {
      process.env.KUBECTL_REMOTE_COMMAND_WEBSOCKETS = String(protocol === 'websockets');
      process.env.KUBECTL_PORT_FORWARD_WEBSOCKETS = String(protocol === 'websockets');
    });
    afterAll(() => {
      delete process.env.KUBECTL_REMOTE_COMMAND_WEBSOCKETS;
      delete process.env.KUBECTL_PORT_FORWARD_WEBSOCKETS;
    });

    it('runs a command and prints both streams', async () => {
      const result = await kubectl(['exec', 'web', '-c', 'main', '--', 'sh', '-c', 'echo out; echo err >&2']);
      expect(result).toMatchObject({ code: 0, stdout: 'out\n' });
      expect(result.stderr).toContain('err\n');
    });

    it('gives the exit code back', async () => {
      expect((await kubectl(['exec', 'web', '-c', 'main', '--', 'sh', '-c', 'exit 7'])).code).toBe(7);
    });

    it('ends the standard input of the command', async () => {
      const result = await kubectl(['exec', '-i', 'web', '-c', 'main', '--', 'cat'], 'piped\n');
      expect(result).toMatchObject({ code: 0, stdout: 'piped\n' });
    });

    it('carries megabytes both ways unharmed', async () => {
      const text = 'The quick brown fox jumps over the lazy dog.\n'.repeat(120_000);
      const result = await kubectl(['exec', '-i', 'web', '-c', 'main', '--', 'cat'], text);
      expect(result.code).toBe(0);
      expect(result.stdout === text).toBe(true);
    });

    it('says which container there is not', async () => {
      const unknown = await kubectl(['exec', 'web', '-c', 'nope', '--', 'true']);
      expect(unknown).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('container nope is not valid for pod web'),
      });
      const ended = await kubectl(['exec', 'web', '-c', 'ended', '--', 'true']);
      expect(ended).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('unable to upgrade connection: container not found ("ended")'),
      });
    });

    it('attaches to the running process until it ends', async () => {
      const name = `ticker-${protocol}`;
      await startPod(name, { main: TICKER });
      const result = await attachUntilEnd({
        program: kubectlPath(),
        args: ['--kubeconfig', path.kubeconfig, 'attach', name],
        end: () => kubectl(['exec', name, '--', ...END_TICKER]),
      });
      expect(result).toMatchObject({ code: 0, stdout: expect.stringMatching(/^(tick\n)+$/) });
    });

    it('forwards ports', async () => {
      const forward = spawn(kubectlPath(), ['--kubeconfig', path.kubeconfig, 'port-forward', 'pod/web', ':8080']);
      let output = '';
      for (const source of [forward.stdout, forward.stderr]) source.on('data', (chunk) => (output += chunk));
      try {
        await expect.poll(() => output, { timeout: 60_000 }).toMatch(/Forwarding from 127.0.0.1:\d+/);
        const port = Number(/127\.0\.0\.1:(\d+)/.exec(output)![1]);
        const answers = await Promise.all(
          [1, 2, 3].map(() => fetch(`http://127.0.0.1:${port}/`).then((res) => res.text())),
        );
        expect(answers).toEqual(Array(3).fill('hello from httpd\n'));
      } finally {
        forward.kill();
      }
    });
  });

  describe('logs', () => {
    it('are printed, cut and stamped as asked', async () => {
      expect((await kubectl(['logs', 'web', '-c', 'main'])).stdout).toBe('started\nready\n');
      expect((await kubectl(['logs', 'web', '-c', 'main', '--tail=1'])).stdout).toBe('ready\n');
      expect((await kubectl(['logs', 'web', '-c', 'main', '--timestamps', '--tail=1'])).stdout).toMatch(
        /^\d{4}-\S+Z ready\n$/,
      );
      expect((await kubectl(['logs', 'web', '-c', 'main', '--limit-bytes=3'])).stdout).toBe('sta');
    });

    it('hold both streams', async () => {
      await startPod('torn', { main: ['sh', '-c', 'echo out; echo err >&2; exec sleep 1000'] });
      // The runtime reads two pipes: which line comes first is nobody's promise.
      const lines = async () => (await kubectl(['logs', 'torn'])).stdout.trim().split('\n').sort();
      await expect.poll(lines, { timeout: 60_000 }).toEqual(['err', 'out']);
    });

    it('of an ended container end when followed', async () => {
      expect(await kubectl(['logs', '-f', 'web', '-c', 'ended'])).toMatchObject({ code: 0, stdout: 'bye\n' });
    });

    it('of a running container are followed as they come', async () => {
      await startPod('talker', { main: ['sh', '-c', 'for n in 1 2 3 4 5; do echo $n; sleep 0.3; done'] });
      const result = await kubectl(['logs', '-f', 'talker']);
      expect(result.stdout).toBe('1\n2\n3\n4\n5\n');
    });

    it('of megabytes arrive whole', async () => {
      // It stays until its log is written: the runtime's shim gives the output of an ended process 2 s to drain, and drops the rest.
      const { main } = await startPod('loud', { main: ['sh', '-c', 'seq 1 400000; exec sleep 1000'] });
      const following = kubectl(['logs', '-f', 'loud']);
      await waitUntil('the log is written', 60_000, async () => (await tailOf(main!.logPath)).endsWith(' F 400000\n'));
      await containerd.runtime.stopContainer(main!.id, 0);
      const result = await following;
      expect(result.stdout.length).toBe(2_688_895);
      expect(result.stdout.endsWith('\n400000\n')).toBe(true);
    });

    it('that do not exist are named in the words of Kubernetes', async () => {
      const previous = await kubectl(['logs', 'web', '-c', 'main', '--previous']);
      expect(previous.stderr).toContain('(BadRequest): previous terminated container "main" in pod "web" not found');
      expect((await kubectl(['logs', 'nobody'])).stderr).toContain('(NotFound): pods "nobody" not found');
      const several = await fetchApi('/api/v1/namespaces/default/pods/web/log');
      expect(several.body).toContain('a container name must be specified for pod web, choose one of: [main ended]');
    });
  });

  it('gives a terminal its size and keeps it in step', async () => {
    const query = 'container=main&command=sh&stdin=true&stdout=true&tty=true';
    const { ca, cert, key } = path.adminTls;
    const url = `${path.serverUrl.replace('https', 'wss')}/api/v1/namespaces/default/pods/web/exec?${query}`;
    const client = new WebSocket(url, ['v5.channel.k8s.io', 'v4.channel.k8s.io'], { ca, cert, key });
    let output = '';
    let status = '';
    client.on('message', (data: Buffer) => {
      if (data[0] === 1) output += data.subarray(1);
      if (data[0] === 3) status += data.subarray(1);
    });
    await new Promise((resolve) => client.once('open', resolve));
    expect(client.protocol).toBe('v5.channel.k8s.io');
    const send = (channel: number, text: string) =>
      client.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
    send(4, JSON.stringify({ Width: 91, Height: 33 }));
    send(0, 'stty size\n');
    await expect.poll(() => output).toContain('33 91');
    const closed = new Promise((resolve) => client.once('close', resolve));
    send(0, 'exit 5\n');
    await closed;
    expect(JSON.parse(status)).toMatchObject({ reason: 'NonZeroExitCode', details: { causes: [{ message: '5' }] } });
  });

  it('ends the session of a client that goes away', async () => {
    const { ca, cert, key } = path.adminTls;
    const query = 'container=main&command=sleep&command=4321&stdin=true&stdout=true';
    const url = `${path.serverUrl.replace('https', 'wss')}/api/v1/namespaces/default/pods/web/exec?${query}`;
    const client = new WebSocket(url, 'v5.channel.k8s.io', { ca, cert, key });
    await new Promise((resolve) => client.once('open', resolve));
    client.terminate();
    const again = await kubectl(['exec', 'web', '-c', 'main', '--', 'echo', 'alive']);
    expect(again.stdout).toBe('alive\n');
  });

  it('proxies HTTP to a pod and sends a bare path to its slash', async () => {
    const base = '/api/v1/namespaces/default/pods/web:8080/proxy';
    expect(await fetchApi(`${base}/`)).toMatchObject({ status: 200, body: 'hello from httpd\n' });
    expect(await fetchApi(base)).toMatchObject({ status: 301 });
    expect(await fetchApi(`${base}/absent`)).toMatchObject({ status: 404 });
    const refused = await fetchApi('/api/v1/namespaces/default/pods/web:1/proxy/');
    expect(refused).toMatchObject({ status: 503, body: expect.stringContaining('ECONNREFUSED') });
  });

  it("proxies the node's own API", async () => {
    expect(await fetchApi('/api/v1/nodes/n1/proxy/healthz')).toMatchObject({ status: 200, body: 'ok' });
  });

  it('keeps strangers off the node API and off the tunnel', async () => {
    const nodePort = JSON.parse((await fetchApi('/api/v1/nodes/n1')).body).status.daemonEndpoints.kubeletEndpoint.Port;
    const bare = await fetchUrl(`https://127.0.0.1:${nodePort}/healthz`, {});
    expect(bare.status).toBe(401);
    const client = new WebSocket(
      `${path.serverUrl.replace('https', 'wss')}/api/v1/nodes/n1/tunnel`,
      'v1.tunnel.coracle.dev',
      path.adminTls,
    );
    const refusal = await new Promise<number | undefined>((resolve) => {
      client.once('unexpected-response', (_, response) => resolve(response.statusCode));
      client.once('open', () => resolve(undefined));
    });
    expect(refusal).toBe(403);
  });

  it('leaves no stream open behind the requests', async () => {
    await expect.poll(() => path.hub.streamCount, { timeout: 60_000 }).toBe(0);
  });

  const fetchApi = (target: string) => fetchUrl(path.serverUrl + target, path.adminTls);

  function fetchUrl(url: string, tls: object): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      httpsRequest(url, { ...tls, rejectUnauthorized: 'ca' in tls, agent: false }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      })
        .on('error', reject)
        .end();
    });
  }
});

async function tailOf(path: string): Promise<string> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, Math.max(0, size - 64));
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await file.close();
  }
}
