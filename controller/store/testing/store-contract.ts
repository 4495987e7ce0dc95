import { afterEach, beforeEach, describe } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { Store } from '../store.ts';
import type { StoreOptions } from '../store-core.ts';
import { describeRevisions } from './contract/01-revisions.ts';
import { describePendingHead } from './contract/02-pending-head.ts';
import { describeGroupCommit } from './contract/03-group-commit.ts';
import { describeStalledDisk } from './contract/04-stalled-disk.ts';
import { describeVolatileUpdates } from './contract/05-volatile-updates.ts';
import { describeHistory } from './contract/06-history.ts';
import { describeSnapshots } from './contract/07-snapshots.ts';
import { describeIndexes } from './contract/08-indexes.ts';
import { describeObjectSize } from './contract/11-object-size.ts';
import { describeClosing } from './contract/closing.ts';
import {
  type BackendKind,
  type ContractContext,
  EVENT_TTL_MS,
  EVENTS,
  HISTORY,
  PODS,
  QUEUE_LIMIT,
} from './contract/contract-context.ts';
import { classifySample } from './sample-values.ts';
import type { StoreGate } from './store-gate.ts';

/** How the suite gets at one kind of store. */
export interface StoreHarness {
  /** Opens the state of this harness; `log` stands between the store and its disk. */
  open(options: StoreOptions): Promise<{ readonly store: Store; readonly log: StoreGate }>;
  /** Ends the open store without a word, as kill -9 does. */
  crash(): Promise<void>;
  dispose(): Promise<void>;
}

/**
 * The numbered sentences of the store's contract (docs/architecture.md), a file each. Sentences 9 and 10 are those of a file on a disk and
 * stand beside it: ../integrity/store-damage.test.ts and ../compaction.test.ts.
 */
export function describeStoreContract(
  name: string,
  survival: ContractContext['survival'],
  createHarness: () => Promise<StoreHarness>,
  backend: BackendKind = 'alone',
): void {
  describe(`store contract: ${name}`, () => {
    let harness: StoreHarness;
    let clock: FakeClock;
    let store: Store;
    let log: StoreGate;

    const open = async () => {
      const opened = await harness.open({
        clock,
        log: silentLogger,
        classify: classifySample,
        indexes: [
          { prefix: PODS, field: 'spec.nodeName' },
          { prefix: PODS, label: 'app' },
        ],
        volatilePrefixes: [{ prefix: EVENTS, ttlMs: EVENT_TTL_MS }],
        historyLimits: HISTORY,
        pipelineLimits: { maxQueuedWrites: QUEUE_LIMIT },
        freezeObjects: true,
      });
      store = opened.store;
      log = opened.log;
    };
    const contract: ContractContext = {
      survival,
      backend,
      get store() {
        return store;
      },
      get log() {
        return log;
      },
      get clock() {
        return clock;
      },
      async restart(how) {
        if (how === 'closed') await store.close();
        else await harness.crash();
        await open();
      },
    };

    beforeEach(async () => {
      harness = await createHarness();
      clock = new FakeClock();
      await open();
    });
    afterEach(async () => {
      log.release();
      await store.close();
      await harness.dispose();
    });

    describeRevisions(contract);
    describePendingHead(contract);
    describeGroupCommit(contract);
    describeStalledDisk(contract);
    describeVolatileUpdates(contract);
    describeHistory(contract);
    describeSnapshots(contract);
    describeIndexes(contract);
    describeObjectSize(contract);
    describeClosing(contract);
  });
}
