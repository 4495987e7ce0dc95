import { createPrivateKey, hkdfSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ensurePrivateFolder, writeDurableFile } from './pki/durable-file.ts';
import { EtcdKeyRing } from './store/etcd/etcd-key-ring.ts';
import type { EtcdConnection } from './store/etcd/open-etcd-store.ts';
import { type RingFile, readRingFile } from './store/seal/key-ring.ts';
import type { SealingPlan } from './store/seal/sealing-plan.ts';
import { PlannedSealer } from './store/seal/value-sealer.ts';

export interface SharedSealing {
  readonly sealer: PlannedSealer;
  readonly ring: EtcdKeyRing;
  /** Resolves once the copy in the data directory is as new as what is known here. */
  copied(): Promise<void>;
}

export interface SharedSealingOptions {
  readonly dataDir: string;
  /** Below which the objects lie in etcd. */
  readonly prefix: string;
  readonly plan: SealingPlan;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Sealing on etcd, where the keys must be the same for all API servers: they lie in etcd too, sealed under a secret that is derived from
 * the key of ServiceAccounts, which every API server has, and which stays when the CA is rotated. The data directory keeps a copy of them,
 * for backups and for the way back.
 */
export async function openSharedSealing(
  { client, keys }: Pick<EtcdConnection, 'client' | 'keys'>,
  { dataDir, prefix, plan, clock, log }: SharedSealingOptions,
): Promise<SharedSealing> {
  const { ringPath } = plan;
  let copying = Promise.resolve();
  const ring = await EtcdKeyRing.open({
    client,
    key: keys.sealingKeys,
    rootSecret: await rootSecretOf(join(dataDir, 'pki', 'sa.key')),
    initial: readRingFile(ringPath),
    seals: plan.rules.some(({ providers }) => providers[0]?.kind === 'ring'),
    onChanged: (changed) => {
      copying = copying.then(() => writeCopy(ringPath, changed, log));
    },
    clock,
    log,
  });
  return { ring, sealer: new PlannedSealer(belowPrefix(plan, prefix), ring), copied: () => copying };
}

async function writeCopy(path: string, ring: RingFile, log: Logger): Promise<void> {
  try {
    await ensurePrivateFolder(dirname(path));
    await writeDurableFile(path, `${JSON.stringify(ring, null, 2)}\n`);
  } catch (err) {
    log.error('the copy of the keys of sealed values was not written; backups lack the newest', {
      path,
      reason: describeError(err),
    });
  }
}

async function rootSecretOf(path: string): Promise<Uint8Array> {
  let pem: string;
  try {
    pem = await readFile(path, 'utf8');
  } catch (err) {
    throw new ConfigError(
      `the key of ServiceAccounts opens the keys of sealed values, and cannot be read: ${describeError(err)}`,
    );
  }
  const key = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return new Uint8Array(hkdfSync('sha256', key, '', 'coracle.dev sealing keys', 32));
}

/** Values are bound to etcd's own keys, so the plan must speak of those. */
function belowPrefix(plan: SealingPlan, prefix: string): SealingPlan {
  const root = `${prefix.replace(/\/+$/, '')}/`;
  const toEtcd = (key: string) => `${root}${key.slice('/registry/'.length)}`;
  return { ...plan, rules: plan.rules.map((rule) => ({ ...rule, prefixes: rule.prefixes.map(toEtcd) })) };
}
