import { systemClock } from '#base/clock.ts';
import { ConfigError, refuseArguments } from '#base/config.ts';
import { createLogger, type LogLevel } from '#base/logger.ts';
import type { ControllerConfig } from '../config.ts';
import { sealingKeysPath } from '../sealing-config.ts';
import { KeyRing, type RingKey, readRingFile } from '../store/seal/key-ring.ts';
import { askController } from './control-socket.ts';
import { lockDataFolder } from './data-folder.ts';
import { writeHandover } from './handover.ts';
import { migrateStore } from './migrate-store.ts';

export const MIGRATE_FLAGS = {
  to: { type: 'string', default: '', oneOf: ['', 'sqlite', 'etcd'], description: 'where the state goes' },
} as const;

type LoadFlags = (argv: readonly string[]) => Promise<ControllerConfig & { readonly to: string }>;

/** `coracle store migrate|handover|rotate-key`. `load` reads configuration and flags. */
export async function runStoreCommand(argv: readonly string[], load: LoadFlags): Promise<void> {
  const [action, ...rest] = argv;
  switch (action) {
    case 'migrate':
      return migrate(await load(rest));
    case 'handover': {
      const [folder, ...flags] = rest;
      if (folder === undefined || folder.startsWith('-')) throw new ConfigError('name the folder first; see --help');
      return handOver(folder, await load(flags));
    }
    case 'rotate-key':
      return rotateKey(await load(rest));
    default:
      refuseArguments(action === undefined ? [] : [action]);
      throw new ConfigError('the action is missing: migrate, handover or rotate-key; see "coracle store --help"');
  }
}

async function migrate(config: ControllerConfig & { readonly to: string }): Promise<void> {
  const { to } = config;
  if (to !== 'sqlite' && to !== 'etcd') throw new ConfigError('--to: name where the state goes, sqlite or etcd');
  const log = createLogger('migrate', config.logLevel as LogLevel);
  const { objects, raisedTo, aside } = await migrateStore({ config, to, clock: systemClock, log });
  console.log(`moved ${objects} objects to ${to}; revisions go on at ${raisedTo}`);
  if (aside !== undefined) console.log(`the SQLite store is in ${aside}: delete it when it is not needed any more`);
  console.log(
    to === 'etcd'
      ? `set "store: etcd" and etcdServers in controller.yaml, then start the controller`
      : `set "store: sqlite" in controller.yaml, then start this controller alone. etcd keeps what it has, and others refuse to start on it; delete it when it is not needed`,
  );
}

async function handOver(folder: string, config: ControllerConfig): Promise<void> {
  const names = await writeHandover(folder, config, () => readSealingKeys(config));
  console.log(`wrote ${names.length} files to ${folder}; they hold the keys of the cluster:`);
  for (const name of names) console.log(`  ${name}`);
  const steps = [
    ...(config.store === 'etcd'
      ? []
      : ['bring the state into etcd: coracle store migrate --to etcd --etcd-servers https://...']),
    'stop all Coracle controllers',
    'copy the folder to /etc/kubernetes on the hosts of the new control plane',
    'start kube-apiserver and kube-controller-manager with the flags in the files of their names, and kube-scheduler',
  ];
  for (const [at, step] of steps.entries()) console.log(`${at + 1}. ${step}`);
}

async function readSealingKeys(config: ControllerConfig): Promise<readonly RingKey[]> {
  if (config.store !== 'etcd') return readRingFile(sealingKeysPath(config.dataDir));
  const { readSharedKeys } = await import('../open-etcd.ts');
  return readSharedKeys(config, { clock: systemClock, log: createLogger('handover', config.logLevel as LogLevel) });
}

async function rotateKey(config: ControllerConfig): Promise<void> {
  const { dataDir } = config;
  const asked = await askController(dataDir, { method: 'POST', path: '/rotate-sealing-key' });
  if (asked === undefined) {
    if (config.store === 'etcd')
      throw new ConfigError('no controller runs here, and the keys are in etcd: start it first');
    const lock = await lockDataFolder(dataDir);
    try {
      const ring = new KeyRing({ path: sealingKeysPath(dataDir) });
      if (ring.isEmpty)
        throw new ConfigError(`${dataDir} has no keys of sealed values yet: is it the right --data-dir?`);
      ring.rotate();
    } finally {
      lock.close();
    }
  }
  console.log(
    'a new key seals from now on; what lies under older ones is sealed anew, little by little, while the controller runs',
  );
}
