import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import { createClassifier } from './apiserver/registry/classify.ts';
import type { ResourceDefinition } from './apiserver/registry/resource-definition.ts';
import { storeIndexes } from './apiserver/registry/store-indexes.ts';
import type { HealthCheck } from './apiserver/server/health.ts';
import type { ControllerConfig } from './config.ts';
import { readSealingPlan } from './sealing-config.ts';
import { type Backend, refuseLostState, writeBackendNote } from './state-backend.ts';
import type { CommitLog } from './store/commit-log.ts';
import { type DamageReport, describeDamage } from './store/integrity/recover.ts';
import type { SealingPlan } from './store/seal/sealing-plan.ts';
import { openSqliteStore } from './store/sqlite-store.ts';
import type { Store } from './store/store.ts';
import type { StoreOptions } from './store/store-core.ts';
import { diskThread } from './worker-sources.ts';

export interface OpenStoreOptions {
  readonly config: ControllerConfig;
  readonly definitions: readonly ResourceDefinition[];
  readonly clock: Clock;
  readonly log: Logger;
  /** SQLite only: measures the disk. */
  readonly wrapLog: (log: CommitLog) => CommitLog;
  /** SQLite only: the disk is slow; undefined: it is not. */
  readonly diskProblem: () => string | undefined;
  /** The backend refuses for good: the process must end, a supervisor starts it anew. */
  readonly onBroken: (err: unknown) => void;
}

export interface OpenedStore {
  readonly store: Store;
  /** What its backend has to say, under the names of Kubernetes where it has one. */
  readonly checks: readonly HealthCheck[];
  /** Bytes that the state takes on disk. */
  readonly size: () => Promise<number>;
  /** Has a new key seal what is written from now on. */
  readonly rotateSealingKey: () => Promise<void> | void;
}

/** Opens the store that the configuration names. Throws ConfigError where that cannot be. */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  const { config, definitions, clock, log } = options;
  const backend = backendOf(config);
  await refuseLostState(config.dataDir, backend);
  const stored = definitions.filter(
    (definition) => definition.conversion === undefined && definition.virtualCreate === undefined,
  );
  const common: StoreOptions = {
    clock,
    log: log.child({ component: 'store' }),
    classify: createClassifier(definitions),
    indexes: storeIndexes(stored),
    volatilePrefixes: stored.flatMap(({ storagePrefix, volatileTtlMs }) =>
      volatileTtlMs === undefined ? [] : [{ prefix: `${storagePrefix}/`, ttlMs: volatileTtlMs }],
    ),
    onBroken: options.onBroken,
  };
  const sealing = await readSealingPlan(config, definitions);
  const opened = await (backend === 'etcd'
    ? // gRPC costs memory and start-up time, which one machine need not pay.
      (await import('./open-etcd.ts')).openOnEtcd(config, common, sealing)
    : openOnSqlite(options, common, sealing));
  await writeBackendNote(config.dataDir, backend);
  return opened;
}

const backendOf = ({ store }: ControllerConfig): Backend => (store === 'etcd' ? 'etcd' : 'sqlite');

async function openOnSqlite(
  { config, wrapLog, diskProblem }: OpenStoreOptions,
  common: StoreOptions,
  sealing: SealingPlan,
): Promise<OpenedStore> {
  let damage: readonly DamageReport[] = [];
  let trouble: string | undefined;
  let rotateSealingKey = (): void => {};
  const store = await openSqliteStore({
    ...common,
    dir: join(config.dataDir, 'store'),
    sealing,
    worker: diskThread,
    wrapLog,
    onSealing: (rotate) => {
      rotateSealingKey = rotate;
    },
    onDamage: (reports) => {
      damage = reports;
    },
    onTrouble: (message) => {
      trouble = message;
    },
  });
  // A store that is lost ends the process, so one that answers is well.
  const ok = () => undefined;
  return {
    store,
    rotateSealingKey,
    size: () => sizeOfFolder(join(config.dataDir, 'store')),
    checks: [
      { name: 'etcd', endpoints: ['livez', 'readyz'], check: ok },
      { name: 'etcd-readiness', endpoints: ['readyz'], check: ok },
      // Reads and heartbeats go on without the disk, and what is lost does not come back by turning clients away.
      { name: 'coracle-disk-latency', endpoints: ['readyz'], check: diskProblem, isAdvisory: true },
      {
        name: 'coracle-store-damage',
        endpoints: ['readyz'],
        check: () => trouble ?? damage.map(describeDamage).at(-1),
        isAdvisory: true,
      },
    ],
  };
}

/** The store for a command, while no controller serves it: for reading all of it, not for selectors. Throws ConfigError. */
export async function openStoreAtRest({
  config,
  clock,
  log,
}: Pick<OpenStoreOptions, 'config' | 'clock' | 'log'>): Promise<Store> {
  await refuseLostState(config.dataDir, backendOf(config));
  const common: StoreOptions = { clock, log, classify: () => ({ labels: {}, fields: {} }) };
  const sealing = await readSealingPlan(config);
  if (config.store === 'etcd') {
    const { openOnEtcd } = await import('./open-etcd.ts');
    return (await openOnEtcd(config, common, sealing)).store;
  }
  return openSqliteStore({ ...common, dir: join(config.dataDir, 'store'), sealing, worker: diskThread });
}

async function sizeOfFolder(folder: string): Promise<number> {
  const names = await readdir(folder);
  const sizes = await Promise.all(
    names.map((name) =>
      stat(join(folder, name)).then(
        ({ size }) => size,
        // Gone since the folder was read: journals come and go.
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}
