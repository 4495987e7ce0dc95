import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { planLogRemoval, rotateIfLarge } from './log-rotator.ts';

const PATH = '/var/log/pods/p/c/0.log';

function rotator(size: number, reopenLog: (fs: FakeFileSystem) => Promise<void>) {
  const fs = new FakeFileSystem();
  fs.seed(PATH, 'x'.repeat(size));
  const clock = new FakeClock(Date.UTC(2026, 0, 31, 23, 59, 59));
  const options = {
    fs,
    clock,
    log: silentLogger,
    runtime: { reopenLog: () => reopenLog(fs) },
    containers: () => [],
    maxBytes: 100,
    maxFiles: 3,
  };
  return { fs, rotate: () => rotateIfLarge(options, 'c1', PATH) };
}
const createNew = async (fs: FakeFileSystem) => fs.seed(PATH, '');

describe('log rotation', () => {
  it('leaves a small log alone', async () => {
    const { fs, rotate } = rotator(99, createNew);
    await rotate();
    expect(await fs.list('/var/log/pods/p/c')).toEqual(['0.log']);
  });

  it('sets a large log aside under its time and has a new one opened', async () => {
    const { fs, rotate } = rotator(100, createNew);
    await rotate();
    expect(await fs.list('/var/log/pods/p/c')).toEqual(['0.log', '0.log.20260131-235959']);
    expect((await fs.info(PATH))?.sizeBytes).toBe(0);
  });

  it('compresses what was rotated before', async () => {
    const { fs, rotate } = rotator(100, createNew);
    fs.seed(`${PATH}.20260130-000000`, 'old');
    fs.seed(`${PATH}.20260129-000000.gz`, 'older');
    fs.seed(`${PATH}.20260128-000000.tmp`, 'half');
    await rotate();
    expect(await fs.list('/var/log/pods/p/c')).toEqual(['0.log', '0.log.20260130-000000.gz', '0.log.20260131-235959']);
    expect(await fs.readText(`${PATH}.20260130-000000.gz`)).toBe('gzip of old');
  });

  it('gives the name back when the runtime does not open a new one', async () => {
    const { fs, rotate } = rotator(100, async () => {
      throw new Error('container is not running');
    });
    await expect(rotate()).rejects.toThrow('not running');
    expect((await fs.info(PATH))?.sizeBytes).toBe(100);
  });

  it.each([
    ['none while there is room', ['0.log', '0.log.1', '0.log.2'], []],
    ['the oldest', ['0.log', '0.log.2', '0.log.3', '0.log.1'], ['0.log.1']],
    ['nothing of other logs', ['0.log', '1.log.1', '1.log.2', '1.log.3'], []],
  ])('removes %s', (_, files, expected) => {
    expect(planLogRemoval(files, '0.log', 3)).toEqual(expected);
  });
});
