import { describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { type LogReadOptions, readLog } from './log-reader.ts';

const PATH = '/var/log/pods/p/c/0.log';
const OPTIONS: LogReadOptions = {
  follow: false,
  tailLines: undefined,
  timestamps: false,
  sinceMs: undefined,
  limitBytes: undefined,
  stream: 'All',
};
const line = (content: string) => `2026-01-01T00:00:00Z stdout F ${content}\n`;

function start(options: Partial<LogReadOptions>, content: string) {
  const fs = new FakeFileSystem();
  fs.seed(PATH, content);
  const clock = new FakeClock();
  const stop = new AbortController();
  const state = { running: true, output: '' };
  const source = { fs, clock, path: PATH, isRunning: () => state.running };
  const done = (async () => {
    for await (const chunk of readLog(source, { ...OPTIONS, ...options }, stop.signal))
      state.output += new TextDecoder().decode(chunk);
  })();
  return { fs, clock, stop, state, done };
}

describe('log reader', () => {
  it.each([
    ['all', undefined, 'a\nb\nc\n'],
    ['the last two', 2, 'b\nc\n'],
    ['more than there are', 9, 'a\nb\nc\n'],
    ['none', 0, ''],
  ])('reads %s lines', async (_, tailLines, expected) => {
    const { state, done } = start({ tailLines }, line('a') + line('b') + line('c'));
    await done;
    expect(state.output).toBe(expected);
  });

  it('finds a tail that begins in an earlier block of the file', async () => {
    const long = 'x'.repeat(40_000);
    const { state, done } = start({ tailLines: 3 }, [1, 2, 3, 4, 5].map((n) => line(`${n}${long}`)).join(''));
    await done;
    expect(state.output.split('\n').map((text) => text[0])).toEqual(['3', '4', '5', undefined]);
  });

  it('skips a torn line', async () => {
    const { state, done } = start({}, `${line('a')}2026-01-01T00:00:0\n${line('b')}`);
    await done;
    expect(state.output).toBe('a\nb\n');
  });

  it('ends early when the reader is full', async () => {
    const { state, done } = start({ limitBytes: 3, follow: true }, line('a') + line('b'));
    await done;
    expect(state.output).toBe('a\nb');
  });

  it('follows what is appended, until the container has ended', async () => {
    const { fs, clock, state, done } = start({ follow: true }, line('a'));
    await expect.poll(() => state.output).toBe('a\n');
    await expect.poll(() => clock.pendingTimers).toBe(1);
    fs.append(PATH, line('b').slice(0, 30));
    fs.append(PATH, line('b').slice(30));
    await expect.poll(() => state.output).toBe('a\nb\n');
    fs.append(PATH, line('last'));
    state.running = false;
    await clock.advance(1000);
    await done;
    expect(state.output).toBe('a\nb\nlast\n');
  });

  it('follows over a rotation without losing a line', async () => {
    const { fs, clock, state, stop, done } = start({ follow: true }, line('a'));
    await expect.poll(() => clock.pendingTimers).toBe(1);
    fs.append(PATH, line('b'));
    await fs.rename(PATH, `${PATH}.1`);
    fs.append(`${PATH}.1`, line('c'));
    fs.seed(PATH, line('d'));
    await clock.advance(500);
    await expect.poll(() => state.output).toBe('a\nb\nc\nd\n');
    stop.abort();
    await done;
  });

  it('stops when nobody listens any more', async () => {
    const { clock, stop, done } = start({ follow: true }, line('a'));
    await expect.poll(() => clock.pendingTimers).toBe(1);
    stop.abort();
    await done;
    expect(clock.pendingTimers).toBe(0);
  });

  it('fails when there is no log', async () => {
    const source = { fs: new FakeFileSystem(), clock: new FakeClock(), path: PATH, isRunning: () => true };
    const reading = readLog(source, OPTIONS, new AbortController().signal).next();
    await expect(reading).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
