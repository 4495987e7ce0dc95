import { createHash, randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { readFileIfPresent, writeDurableFile } from './pki/durable-file.ts';

export interface InstanceFacts {
  readonly hostname: string;
  /** Made once for a data directory. */
  readonly instanceId: string;
  /** What tells this machine from one that was made from a copy of its disk. */
  readonly machine: readonly string[];
}

/** Pure. */
export function renderIdentity({ hostname, instanceId, machine }: InstanceFacts): string {
  const hash = createHash('sha256')
    .update([instanceId, ...machine].join('\n'))
    .digest('hex');
  return `${hostname}_${hash.slice(0, 16)}`;
}

/**
 * Holder name in the leader leases. The same over restarts: as only one process can hold the data directory's lock, whoever comes back
 * after a crash takes its own leases back at once, and need not watch them run out for 15 s. A copy of the directory on another machine
 * has another name.
 */
export async function openInstanceIdentity(dataDir: string): Promise<string> {
  const path = join(dataDir, 'instance-id');
  let instanceId = (await readFileIfPresent(path))?.trim();
  if (instanceId === undefined || instanceId === '') {
    instanceId = randomUUID();
    await writeDurableFile(path, `${instanceId}\n`);
  }
  return renderIdentity({ hostname: hostname(), instanceId, machine: await machineFacts() });
}

const NETWORK = '/sys/class/net';

/** The addresses of network cards: those of bridges and tunnels come and go. */
async function machineFacts(): Promise<string[]> {
  const names = await readdir(NETWORK).catch(() => []);
  const cards = await Promise.all(
    names.map(async (name) => {
      const isCard = (await readdir(join(NETWORK, name, 'device')).catch(() => [])).length > 0;
      return isCard ? (await readFile(join(NETWORK, name, 'address'), 'utf8').catch(() => '')).trim() : '';
    }),
  );
  const machineId = (await readFileIfPresent('/etc/machine-id').catch(() => undefined)) ?? '';
  return [machineId.trim(), ...cards.filter((address) => address !== '').sort()];
}
