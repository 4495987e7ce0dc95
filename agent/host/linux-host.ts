import { createSocket } from 'node:dgram';
import { readFile, writeFile } from 'node:fs/promises';
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { readCgroups } from './cgroups.ts';
import { openDatagrams } from './datagrams.ts';
import { dnsSockets } from './dns-sockets.ts';
import { createExecutor } from './executor.ts';
import { readAddresses, readFacts, readResolvConf } from './facts.ts';
import { createFileSystem } from './file-system.ts';
import type { Dialer, Host } from './host.ts';
import { createMemoryFiles } from './memory-files.ts';
import { createMounter } from './mounter.ts';

const DIAL_TIMEOUT_MS = 10_000;

/** The real host. Every call asks the kernel afresh; nothing is cached. */
export function createLinuxHost(): Host {
  const exec = createExecutor();
  const fs = createFileSystem();
  return {
    exec,
    fs,
    memory: createMemoryFiles(fs),
    mounts: createMounter(exec),
    dialer: { tcp: dialTcp },
    dns: dnsSockets,
    openDatagrams,
    facts: readFacts,
    addresses: async () => readAddresses(),
    sourceAddressTo,
    cgroups: () => readCgroups(fs),
    bootTimeMs,
    resolvConf: readResolvConf,
    readSysctl,
    writeSysctl,
  };
}

const dialTcp: Dialer['tcp'] = (host, port, { timeoutMs = DIAL_TIMEOUT_MS, signal } = {}) =>
  new Promise<Duplex>((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const socket = connect({ host, port, noDelay: true });
    const settle = (err: unknown) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', settle);
      if (err === undefined) {
        resolve(socket);
        return;
      }
      // The late error of a socket that nobody waits for any more must not end the process.
      socket.on('error', () => {});
      socket.destroy();
      reject(err);
    };
    const onAbort = () => settle(signal?.reason);
    const timer = setTimeout(
      () => settle(Object.assign(new Error(`connect ETIMEDOUT ${host}:${port}`), { code: 'ETIMEDOUT' })),
      timeoutMs,
    );
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', settle);
    socket.once('connect', () => settle(undefined));
  });

async function sourceAddressTo(destination: string): Promise<string | undefined> {
  const family = isIP(destination);
  if (family !== 0) return sourceAddressOf(family === 6 ? 'udp6' : 'udp4', destination);
  // A name may have addresses of one family alone.
  return (await sourceAddressOf('udp4', destination)) ?? sourceAddressOf('udp6', destination);
}

/** Connecting a datagram socket sends nothing: it only makes the kernel choose the route and with it the source address. */
function sourceAddressOf(type: 'udp4' | 'udp6', destination: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket(type);
    const finish = (address: string | undefined) => {
      socket.close();
      resolve(address);
    };
    socket.once('error', () => finish(undefined));
    // It is told of failures too (no route, no such name); the socket then has the address that stands for all of them.
    const onConnected = (err?: Error) => finish(err === undefined ? socket.address().address : undefined);
    socket.connect(9, destination, onConnected);
  });
}

/** /proc/uptime counts on CLOCK_BOOTTIME, so suspended time is in it. */
async function bootTimeMs(): Promise<number> {
  const [seconds = '0'] = (await readFile('/proc/uptime', 'utf8')).split(' ');
  return Number(seconds) * 1000;
}

/** `net.ipv4.ip_forward`; with slashes (`net/ipv4/conf/eth0.1/rp_filter`) where an interface name holds dots. */
function sysctlPath(name: string): string {
  return `/proc/sys/${name.includes('/') ? name : name.replaceAll('.', '/')}`;
}

async function readSysctl(name: string): Promise<string | undefined> {
  const value = await readFile(sysctlPath(name), 'utf8').catch(() => undefined);
  return value?.trim();
}

async function writeSysctl(name: string, value: string): Promise<boolean> {
  return writeFile(sysctlPath(name), value).then(
    () => true,
    () => false,
  );
}
