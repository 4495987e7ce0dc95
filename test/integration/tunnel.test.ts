import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createLinuxHost } from '#agent/host/linux-host.ts';
import { ServerList } from '#agent/servers/server-list.ts';
import type { TunnelVerdict } from '#agent/tunnel/copy-guard.ts';
import { runTunnels } from '#agent/tunnel/run-tunnels.ts';
import { runTunnelClient } from '#agent/tunnel/tunnel-client.ts';
import { TUNNEL_AGENT_HEADER } from '#api/tunnel/frames.ts';
import { systemClock } from '#base/clock.ts';
import { type Logger, silentLogger } from '#base/logger.ts';
import { generatePrivateKeyPem } from '#controller/pki/certificate-builder.ts';
import { type CertificateAndKey, type ClusterPki, openClusterPki } from '#controller/pki/cluster-pki.ts';
import { TunnelHub } from '#controller/tunnel/tunnel-hub.ts';
import { startTcpRelay } from '#test/kit/tcp-relay.ts';

describe('tunnel over TLS', () => {
  let folder: string;
  let pki: ClusterPki;
  let node: { key: string; cert: string };
  const host = createLinuxHost();
  const cleanups: (() => unknown)[] = [];
  let servers = 0;

  beforeAll(async () => {
    folder = await mkdtemp('/tmp/coracle-tunnel-');
    pki = await openClusterPki({
      dir: folder,
      clock: systemClock,
      log: silentLogger,
      hostnames: ['localhost'],
      addresses: ['127.0.0.1'],
      serviceIp: '10.96.0.1',
      clusterDomain: 'cluster.local',
    });
    const key = await generatePrivateKeyPem();
    const cert = await pki.signCertificate({
      subject: { commonName: 'system:node:n1', organizations: ['system:nodes'] },
      publicKey: createPublicKey(createPrivateKey(key)),
      usages: ['digital signature', 'client auth'],
      durationMs: 3_600_000,
    });
    node = { key, cert };
  });
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** A controller on `port` (0: any), with nothing but the hub behind it. */
  async function startController(
    port: number,
    log: Logger = silentLogger,
    serving: CertificateAndKey = pki.serving,
  ): Promise<{
    hub: TunnelHub;
    port: number;
    tunnels: ReadonlySet<Duplex>;
    upgrades(): number;
    connections(): number;
    stop(): Promise<void>;
  }> {
    const hub = new TunnelHub({ clock: systemClock, log, serverId: `server ${++servers}` });
    const server: Server = createServer({ key: serving.privateKeyPem, cert: serving.certificatePem });
    const sockets = new Set<Duplex>();
    server.on('connection', (socket) => {
      connections++;
      sockets.add(socket);
    });
    const tunnels = new Set<Duplex>();
    let upgrades = 0;
    let connections = 0;
    server.on('upgrade', (incoming, socket, head) => {
      upgrades++;
      tunnels.add(socket);
      socket.on('close', () => tunnels.delete(socket));
      const agentId = incoming.headers[TUNNEL_AGENT_HEADER] as string | undefined;
      void hub.twinProblem('n1', { agentId, address: '127.0.0.1' }).then((message) => {
        if (message === undefined) hub.accept('n1', { incoming, socket, head });
        else socket.end(`HTTP/1.1 409 Conflict\r\nconnection: close\r\n\r\n${JSON.stringify({ message })}`);
      });
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    let isStopped = false;
    const stop = async () => {
      if (isStopped) return;
      isStopped = true;
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    };
    cleanups.push(stop);
    return {
      hub,
      port: (server.address() as AddressInfo).port,
      tunnels,
      upgrades: () => upgrades,
      connections: () => connections,
      stop,
    };
  }

  const agentOptions = (nodeApiPort: number) => ({
    nodeName: 'n1',
    tls: () => ({ ca: pki.caPem, cert: node.cert, key: node.key }),
    targets: { nodeApiPort, podAddresses: () => new Set<string>() },
    dialer: host.dialer,
    clock: systemClock,
    log: silentLogger,
    random: () => 0.9,
  });

  function runUntilEnd(run: (signal: AbortSignal) => Promise<void>): AbortController {
    const stop = new AbortController();
    const done = run(stop.signal);
    cleanups.push(() => {
      stop.abort();
      return done;
    });
    return stop;
  }

  const startAgent = (port: number, nodeApiPort = 1): AbortController =>
    runUntilEnd((signal) =>
      runTunnelClient({ ...agentOptions(nodeApiPort), server: `https://127.0.0.1:${port}` }, signal),
    );

  function startAgentOfMany(configured: readonly string[], nodeApiPort = 1): ServerList {
    const list = new ServerList({ configured, learned: [], random: () => 0 });
    runUntilEnd((signal) => runTunnels({ ...agentOptions(nodeApiPort), servers: list }, signal));
    return list;
  }

  async function startEcho(): Promise<number> {
    const server = createTcpServer((socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    return (server.address() as AddressInfo).port;
  }

  it('carries megabytes to a local port and back', async () => {
    const { hub, port } = await startController(0);
    const echo = await startEcho();
    startAgent(port, echo);
    await expect.poll(() => hub.isConnected('n1')).toBe(true);
    const data = Buffer.alloc(8 * 1024 * 1024, '0123456789abcdef');
    const stream = await hub.open('n1', { host: '', port: echo });
    stream.end(data);
    expect(Buffer.compare(Buffer.concat(await stream.toArray()), data)).toBe(0);
  });

  it('refuses targets that are not of the node', async () => {
    const { hub, port } = await startController(0);
    startAgent(port);
    await expect.poll(() => hub.isConnected('n1')).toBe(true);
    await expect(hub.open('n1', { host: '127.0.0.1', port: 22 })).rejects.toThrow('not reachable through this tunnel');
  });

  it('comes back after the controller was gone, and fails what was open', async () => {
    const first = await startController(0);
    const echo = await startEcho();
    startAgent(first.port, echo);
    await expect.poll(() => first.hub.isConnected('n1')).toBe(true);
    const stream = await first.hub.open('n1', { host: '', port: echo });
    const failure = new Promise<Error>((resolve) => stream.once('error', resolve));
    await first.stop();
    expect((await failure).message).toBe('tunnel to node n1 is down');
    const second = await startController(first.port);
    await expect.poll(() => second.hub.isConnected('n1'), { timeout: 60_000 }).toBe(true);
  });

  /** A process of an agent; answers what it learns of its tunnel. */
  function startProcess(port: number, agentId: string): { readonly verdicts: TunnelVerdict[]; stop(): void } {
    const verdicts: TunnelVerdict[] = [];
    const onVerdict = (_: string, verdict: TunnelVerdict) => verdicts.push(verdict);
    const options = { ...agentOptions(1), agentId, onVerdict, server: `https://127.0.0.1:${port}` };
    const abort = runUntilEnd((signal) => runTunnelClient(options, signal));
    return { verdicts, stop: () => abort.abort() };
  }

  it('refuses a second host with the identity of a node that is at work, and tells it why', async () => {
    const { hub, port } = await startController(0);
    const first = startProcess(port, 'one');
    await expect.poll(() => first.verdicts).toEqual([{ kind: 'open' }]);
    const copy = startProcess(port, 'two');
    await expect
      .poll(() => copy.verdicts[0])
      .toMatchObject({
        kind: 'copy',
        message: expect.stringMatching(
          /^node n1 is at work at 127\.0\.0\.1 .* delete the data directory .* `coracle token create`$/,
        ),
      });
    expect(first.verdicts).toEqual([{ kind: 'open' }]);
    // The card was moved into another machine: once the first is gone, the copy is the node.
    first.stop();
    await expect.poll(() => copy.verdicts.at(-1), { timeout: 60_000 }).toEqual({ kind: 'open' });
    expect(hub.isConnected('n1')).toBe(true);
  });

  it('lets a host in again that was switched off, before its old connection was found dead', async () => {
    const { port } = await startController(0);
    const relay = await startTcpRelay({ host: '127.0.0.1', port });
    cleanups.push(() => relay.stop());
    const before = startProcess(relay.port, 'before');
    await expect.poll(() => before.verdicts).toEqual([{ kind: 'open' }]);
    relay.stall();
    const after = startProcess(port, 'after');
    await expect.poll(() => after.verdicts, { timeout: 60_000 }).toEqual([{ kind: 'open' }]);
  });

  it('keeps two machines of one identity that do not say who they are, and uses the newer, the older when that leaves', async () => {
    const { hub, port } = await startController(0);
    const echo = await startEcho();
    startAgent(port, echo);
    await expect.poll(() => hub.isConnected('n1')).toBe(true);
    const clone = startAgent(port, 1);
    await expect
      .poll(() =>
        hub.open('n1', { host: '', port: echo }).then(
          () => 'first',
          () => 'clone',
        ),
      )
      .toBe('clone');
    clone.abort();
    await expect
      .poll(() =>
        hub.open('n1', { host: '', port: echo }).then(
          () => 'first',
          () => 'clone',
        ),
      )
      .toBe('first');
  });

  it('leads to every server, and to those that the cluster tells of later', async () => {
    const [one, two, three] = [await startController(0), await startController(0), await startController(0)];
    const echo = await startEcho();
    const urlOf = ({ port }: { port: number }) => `https://127.0.0.1:${port}`;
    const list = startAgentOfMany([urlOf(one), urlOf(two)], echo);
    await expect.poll(() => [one, two, three].map(({ hub }) => hub.isConnected('n1'))).toEqual([true, true, false]);
    list.learn([urlOf(one), urlOf(three)]);
    await expect.poll(() => three.hub.isConnected('n1')).toBe(true);
    for (const { hub } of [one, two, three]) (await hub.open('n1', { host: '', port: echo })).destroy();
    list.learn([urlOf(one)]);
    await expect.poll(() => three.hub.isConnected('n1')).toBe(false);
    expect(two.hub.isConnected('n1')).toBe(true);
  });

  it('is one for a server with two addresses, and goes over the other once the first is dropped', async () => {
    const server = await startController(0);
    const [own, shared] = [`https://127.0.0.1:${server.port}`, `https://localhost:${server.port}`];
    const list = startAgentOfMany([shared]);
    list.learn([own]);
    await expect.poll(() => [server.upgrades(), server.tunnels.size]).toEqual([2, 1]);
    expect(server.hub.isConnected('n1')).toBe(true);
    list.learn(['https://127.0.0.1:1']);
    await expect.poll(() => [server.tunnels.size, server.hub.isConnected('n1')]).toEqual([1, true]);
  });

  it('is not opened to a node that pretends to be an API server', async () => {
    const privateKeyPem = await generatePrivateKeyPem();
    const certificatePem = await pki.signCertificate({
      subject: { commonName: 'system:node:n2', organizations: ['system:nodes'] },
      publicKey: createPublicKey(privateKeyPem),
      altNames: { dnsNames: ['n2'], addresses: ['127.0.0.1'] },
      usages: ['digital signature', 'server auth'],
      durationMs: 3_600_000,
    });
    const pretender = await startController(0, silentLogger, { certificatePem, privateKeyPem });
    startAgent(pretender.port);
    // It comes again, and says nothing.
    await expect.poll(pretender.connections, { timeout: 60_000 }).toBeGreaterThan(1);
    expect(pretender.upgrades()).toBe(0);
  });
});
