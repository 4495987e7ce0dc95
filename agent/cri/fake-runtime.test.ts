import { describe } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { runtimeContract } from './testing/runtime-contract.ts';

describe('fake runtime', () => {
  const runtime = new FakeRuntime({ clock: new FakeClock(), images: ['busybox:1'] });
  runtimeContract(() => ({
    runtime,
    image: 'busybox:1',
    podUid: (n) => `uid-${n}`,
    logRoot: '/var/log/pods',
    exit: async (id, exitCode) => runtime.exitContainer(id, exitCode),
  }));
});
