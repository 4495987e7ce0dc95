import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '#base/clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type CertificateUsage, generatePrivateKeyPem, issueCertificate } from '#controller/pki/certificate-builder.ts';
import { EtcdClient } from '#controller/store/etcd/etcd-client.ts';
import { type EtcdRelease, findEtcd } from './etcd-releases.ts';
import { findFreePort } from './free-port.ts';
import { waitUntil } from './wait-until.ts';

export interface EtcdClusterOptions {
  readonly members?: 1 | 3;
  /** Default: what this host has. */
  readonly release?: EtcdRelease;
  /** Further arguments of each member. */
  readonly args?: readonly string[];
  /** Takes the certificates of this one. */
  readonly ca?: EtcdCluster;
}

export interface EtcdMember {
  /** `https://127.0.0.1:<port>` */
  readonly server: string;
  readonly pid: number;
  readonly logPath: string;
  /** SIGKILL unless said otherwise. Resolves when it is gone. */
  end(signal?: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** After `end`: on the same data and ports. Does not wait for an answer. */
  start(): void;
  /** It stays alive and does nothing: a slow member, or one behind a broken network. */
  pause(): void;
  resume(): void;
}

/** Real members on loopback with TLS, client certificates wanted, in a folder of their own. */
export interface EtcdCluster {
  readonly folder: string;
  readonly version: string;
  readonly members: readonly EtcdMember[];
  readonly servers: readonly string[];
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly serverCert: string;
  readonly serverKey: string;
  /** Arguments of `coracle controller`. */
  readonly flags: readonly string[];
  /** A client of its own, closed with the cluster. */
  readonly client: EtcdClient;
  /** Resolves once one of the members leads and answers. */
  leader(): Promise<EtcdMember>;
  /** Runs etcdctl (package etcd-client) and answers its output. */
  etcdctl(...args: string[]): Promise<string>;
  /** Ends all members and begins again from a snapshot of `etcdctl snapshot save`, as an administrator would. */
  restore(snapshot: string): Promise<void>;
  /** Writes a new authority and new certificates over the old files; members use them from their next start. */
  renewCertificates(): Promise<void>;
  stop(): Promise<void>;
}

/** Throws with the reason where there is no such etcd: tests that skip ask `findEtcd` first. */
export async function startEtcd(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const program = findEtcd(options.release ?? 'host');
  if (typeof program === 'string') throw new Error(program);
  const folder = await mkdtemp(join(tmpdir(), 'coracle-etcd-'));
  const files: Files = options.ca ?? (await writeCertificates(folder));
  const ports = await freePorts((options.members ?? 1) * 2);
  const plans = ports
    .filter((_, at) => at % 2 === 0)
    .map((port, at) => ({ name: `m${at}`, port, peerPort: ports[at * 2 + 1]! }));
  const initial = plans.map(({ name, peerPort }) => `${name}=http://127.0.0.1:${peerPort}`).join(',');
  const members = plans.map((plan) =>
    launchMember({ program: program.path, folder, plan, initial, files, args: options.args ?? [] }),
  );
  const servers = members.map(({ server }) => server);
  const tls = { ca: readFileSync(files.caFile), cert: readFileSync(files.certFile), key: readFileSync(files.keyFile) };
  const connect = (addresses: readonly string[]) =>
    new EtcdClient({ servers: addresses, tls, clock: systemClock, log: silentLogger, random: Math.random });
  const client = connect(servers);
  const probes = servers.map((server) => connect([server]));
  const cluster: EtcdCluster = {
    folder,
    version: program.version,
    members,
    servers,
    caFile: files.caFile,
    certFile: files.certFile,
    keyFile: files.keyFile,
    serverCert: files.serverCert,
    serverKey: files.serverKey,
    flags: ['--store', 'etcd', '--etcd-servers', servers.join(',')].concat([
      '--etcd-ca',
      files.caFile,
      '--etcd-cert',
      files.certFile,
      '--etcd-key',
      files.keyFile,
    ]),
    client,
    leader: () =>
      waitUntil('a leader of etcd', 20_000, async () => {
        const told = await Promise.all(probes.map((probe) => probe.status().catch(() => undefined)));
        const at = told.findIndex((status) => status !== undefined && status.leader === status.header.member_id);
        return at < 0 ? undefined : members[at];
      }),
    async etcdctl(...args) {
      const all = [`--endpoints=${servers.join(',')}`, `--cacert=${files.caFile}`];
      all.push(`--cert=${files.certFile}`, `--key=${files.keyFile}`, ...args);
      const env = { ...process.env, ETCDCTL_API: '3' };
      return (await promisify(execFile)('etcdctl', all, { env, timeout: 30_000, maxBuffer: 64 * 2 ** 20 })).stdout;
    },
    async renewCertificates() {
      await writeCertificates(folder);
    },
    async restore(snapshot) {
      for (const [at, member] of members.entries()) {
        const { name, peerPort } = plans[at]!;
        await member.end();
        await rm(join(folder, name), { recursive: true });
        await cluster.etcdctl(
          ...['snapshot', 'restore', snapshot, '--name', name, '--data-dir', join(folder, name)],
          ...['--initial-cluster', initial, '--initial-advertise-peer-urls', `http://127.0.0.1:${peerPort}`],
        );
      }
      for (const member of members) member.start();
      await cluster.leader();
    },
    async stop() {
      for (const each of [client, ...probes]) each.close();
      await Promise.all(members.map((member) => member.end('SIGKILL')));
      await rm(folder, { recursive: true, force: true });
    },
  };
  try {
    await cluster.leader();
    await client.persist(() => client.range({ key: Uint8Array.of(0), count_only: true }), { forMs: 20_000 });
  } catch (err) {
    const words = readFileSync(members[0]!.logPath, 'utf8').trimEnd().split('\n').slice(-5).join('\n');
    await cluster.stop();
    throw new Error(`etcd did not start: ${words}`, { cause: err });
  }
  return cluster;
}

interface Launch {
  readonly program: string;
  readonly folder: string;
  readonly plan: { readonly name: string; readonly port: number; readonly peerPort: number };
  readonly initial: string;
  readonly files: Files;
  readonly args: readonly string[];
}

function launchMember({ program, folder, plan, initial, files, args }: Launch): EtcdMember {
  const { name, port, peerPort } = plan;
  const server = `https://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${peerPort}`;
  const logPath = join(folder, `${name}.log`);
  let child: ChildProcess;
  const start = () => {
    const log = openSync(logPath, 'a');
    child = spawn(
      program,
      [
        ...['--name', name, '--data-dir', join(folder, name), '--initial-cluster', initial],
        ...['--listen-client-urls', server, '--advertise-client-urls', server],
        ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer, '--initial-cluster-state', 'new'],
        ...['--cert-file', files.serverCert, '--key-file', files.serverKey],
        ...['--trusted-ca-file', files.caFile, '--client-cert-auth'],
        ...args,
      ],
      { stdio: ['ignore', log, log], env: { ...process.env, ETCD_UNSUPPORTED_ARCH: process.arch } },
    );
    closeSync(log);
  };
  start();
  return {
    server,
    logPath,
    get pid() {
      return child.pid!;
    },
    start,
    pause: () => void child.kill('SIGSTOP'),
    resume: () => void child.kill('SIGCONT'),
    async end(signal = 'SIGKILL') {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill(signal);
      await gone;
    },
  };
}

interface Files {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly serverCert: string;
  readonly serverKey: string;
}

const DAY_MS = 86_400_000;

async function writeCertificates(folder: string): Promise<Files> {
  const ca = await generatePrivateKeyPem();
  const issue = async (commonName: string, usages: readonly CertificateUsage[], issuerPem?: string) => {
    const key = issuerPem === undefined ? ca : await generatePrivateKeyPem();
    const certificate = await issueCertificate(
      {
        subject: { commonName, organizations: [] },
        publicKey: createPublicKey(key),
        usages,
        altNames: { dnsNames: ['localhost'], addresses: ['127.0.0.1'] },
        isCa: issuerPem === undefined,
        notBeforeMs: Date.now() - DAY_MS,
        notAfterMs: Date.now() + DAY_MS,
      },
      { certificatePem: issuerPem, privateKeyPem: ca },
    );
    return { key, certificate };
  };
  const { certificate: caPem } = await issue('etcd-ca', []);
  // Members call themselves as clients for their own gateway.
  const server = await issue('etcd-server', ['server auth', 'client auth'], caPem);
  const client = await issue('root', ['client auth'], caPem);
  const write = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  return {
    caFile: await write('ca.crt', caPem),
    certFile: await write('client.crt', client.certificate),
    keyFile: await write('client.key', client.key),
    serverCert: await write('server.crt', server.certificate),
    serverKey: await write('server.key', server.key),
  };
}

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await findFreePort());
  return [...ports];
}
