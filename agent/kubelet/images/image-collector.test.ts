import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { FakeRuntime } from '#test/kit/fake-runtime.ts';
import { ImageCollector } from './image-collector.ts';

test('a disk on which nothing can be noted any more keeps no image', async () => {
  const clock = new FakeClock();
  const fs = new FakeFileSystem();
  const runtime = new FakeRuntime({ clock });
  runtime.addImage('r.example/app:1', { repoDigests: [`r.example/app@sha256:${'0'.repeat(64)}`] });
  const full = new Error('ENOSPC: no space left on device');
  fs.seed('/data/images.json', '{}');
  fs.writeAtomic = () => Promise.reject(full);
  const gone: string[] = [];
  const warnings: string[] = [];
  const collector = new ImageCollector({
    ...{ runtime, fs, clock, usesFile: '/data/images.json', namedBySpecs: () => [], tellNode: () => undefined },
    log: { ...silentLogger, warn: (message) => void warnings.push(message) },
    config: { highPercent: 85, lowPercent: 80, minAgeMs: 0, maxAgeMs: 0 },
    onListed: () => Promise.reject(full),
    onRemoved: (id) => void gone.push(id),
  });
  await collector.reclaimAll();
  expect(gone).toHaveLength(1);
  expect(warnings).toEqual(['images could not be noted', 'images could not be noted']);
});
