import { createStoreOverLog, immediateLog } from './memory-store.ts';
import { GatedCommitLog } from './testing/gated-commit-log.ts';
import { describeStoreContract } from './testing/store-contract.ts';

describeStoreContract('memory', 'process', async () => ({
  async open(options) {
    const log = new GatedCommitLog(immediateLog);
    return { store: createStoreOverLog(options, log), log };
  },
  crash: () => Promise.resolve(),
  dispose: () => Promise.resolve(),
}));
