import { expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { RuntimeStateReader } from './runtime-state.ts';

function setUp() {
  const clock = new FakeClock();
  const runtime = new FakeRuntime({ clock });
  const reader = new RuntimeStateReader({ runtime, clock, log: silentLogger });
  return { clock, runtime, reader };
}

it('asks for conditions each time, for images each minute, for the version every five', async () => {
  const { clock, runtime, reader } = setUp();
  for (let i = 0; i < 60; i++) {
    expect((await reader.read()).runtime.name).not.toBe('unknown');
    await clock.advance(10_000);
  }
  const counts = (['status', 'listImages', 'version', 'features'] as const).map((m) => runtime.callsOf(m).length);
  expect(counts).toEqual([60, 10, 2, 1]);
});

it('asks a runtime anew that did not answer', async () => {
  const { runtime, reader } = setUp();
  await reader.read();
  runtime.fail('status', new Error('connection refused'));
  expect(await reader.read()).toMatchObject({ runtime: { name: 'unknown' }, runtimeConditions: [], images: [] });
  expect((await reader.read()).runtime.name).not.toBe('unknown');
  expect(runtime.callsOf('version')).toHaveLength(2);
});
