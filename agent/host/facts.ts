import { readFile } from 'node:fs/promises';
import { availableParallelism, hostname, networkInterfaces, release } from 'node:os';
import type { HostAddress, HostFacts } from './host.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };

/** Trimmed content of the first file that exists and says something; '' otherwise (NUL ends strings of the device tree). */
async function firstText(...paths: readonly string[]): Promise<string> {
  for (const path of paths) {
    const text = await readFile(path, 'utf8').catch(() => '');
    const trimmed = text.replaceAll('\0', '').trim();
    if (trimmed !== '') return trimmed;
  }
  return '';
}

/** `NAME="value"` lines of /etc/os-release. */
export function parseOsRelease(text: string): Readonly<Record<string, string>> {
  const entries = [...text.matchAll(/^([A-Z_]+)=["']?(.*?)["']?$/gm)];
  return Object.fromEntries(entries.map(([, key, value]) => [key!, value!]));
}

/** Bytes by key of /proc/meminfo, which counts in KiB. */
export function parseMemoryInfo(text: string): Readonly<Record<string, number>> {
  const entries = [...text.matchAll(/^(\w+):\s+(\d+) kB$/gm)];
  return Object.fromEntries(entries.map(([, key, kibibytes]) => [key!, Number(kibibytes) * 1024]));
}

export async function readFacts(): Promise<HostFacts> {
  const memory = parseMemoryInfo(await firstText('/proc/meminfo'));
  const release_ = parseOsRelease(await firstText('/etc/os-release', '/usr/lib/os-release'));
  const machineId = await firstText('/etc/machine-id', '/var/lib/dbus/machine-id');
  return {
    hostname: hostname().toLowerCase(),
    machineId,
    systemUuid:
      (await firstText(
        '/sys/class/dmi/id/product_uuid',
        '/proc/device-tree/vm,uuid',
        '/proc/device-tree/serial-number',
      )) || machineId,
    bootId: await firstText('/proc/sys/kernel/random/boot_id'),
    kernelVersion: release(),
    osImage: release_.PRETTY_NAME ?? 'Linux',
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    cpuCount: availableParallelism(),
    memoryBytes: memory.MemTotal ?? 0,
    swapBytes: memory.SwapTotal ?? 0,
  };
}

export function readAddresses(): HostAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([interfaceName, addresses = []]) =>
    addresses.map(({ address, family, cidr }) => ({
      interfaceName,
      address,
      family: family === 'IPv6' ? (6 as const) : (4 as const),
      prefixLength: Number(cidr?.split('/')[1] ?? (family === 'IPv6' ? 128 : 32)),
    })),
  );
}

export interface ResolvConf {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** resolv.conf(5): every `nameserver`, the last `search` or `domain`, all `options`. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  let searches: string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && values[0] !== undefined) servers.push(values[0]);
    else if (keyword === 'search' || keyword === 'domain') searches = values;
    else if (keyword === 'options') options.push(...values);
  }
  return { servers, searches, options };
}

/** A pod cannot reach systemd-resolved's stub on the host's loopback, so the servers behind it are taken. */
export async function readResolvConf(): Promise<ResolvConf> {
  const main = parseResolvConf(await firstText('/etc/resolv.conf'));
  const isStub = main.servers.length > 0 && main.servers.every((server) => server === '127.0.0.53');
  return isStub ? parseResolvConf(await firstText('/run/systemd/resolve/resolv.conf')) : main;
}
