import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const sources = ['base', 'api', 'controller', 'agent', 'protos', 'scripts', 'docs'];

/**
 * Deadlines only matter to a test that fails, and a busy machine is slower than ours: vitest's own are 1 s for `expect.poll` and 5 s for a
 * test, which has failed tests of nothing but the machine.
 */
const patience = { testTimeout: 180_000, hookTimeout: 240_000, expect: { poll: { timeout: 60_000, interval: 20 } } };

/** What takes longest, in that order: what begins last would have one core to itself at the end. */
const longest = ['roles', 'pod-lifecycle', 'pod-network', 'clocks', 'csi', 'isolation', 'workloads', 'chaos']
  .concat(['network', 'dual-stack', 'bad-input', 'certificates', 'several-controllers'])
  .concat(['store-crash-matrix', 'kubelet-containerd', 'ca-rotation', 'etcd-faults', 'cri-containerd'])
  .concat(['api-contract', 'service-features', 'kubectl-everyday', 'wrong-configuration'])
  .map((name) => `${name}.test.ts`);

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const found = longest.indexOf(basename(moduleId));
      return found < 0 ? longest.length : found;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}

/** What compares this host before and after, or how long somebody waits: beside another test they would judge that one. */
const alone = ['protocol-abuse', 'rolling-restart', 'up-down'].map((name) => `test/e2e/${name}.test.ts`);

export default defineConfig({
  test: {
    // One for each core of the machines that tests run on; by itself vitest leaves one core idle.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...patience,
          name: 'unit',
          include: sources.map((folder) => `${folder}/**/*.test.ts`),
          testTimeout: 60_000,
          // The files share their modules, which hold no state: each would read and compile most of the tree anew.
          isolate: false,
        },
      },
      {
        test: {
          ...patience,
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
        },
      },
      {
        test: {
          ...patience,
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          exclude: alone,
        },
      },
      {
        test: {
          ...patience,
          name: 'e2e-alone',
          include: alone,
          fileParallelism: false,
          // After all others.
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
