import { describe, expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';
import { silentLogger } from './logger.ts';
import { createFlooredClock, keepTimeFloor, parseTimeFloor, renderTimeFloor, WRITTEN_MS } from './time-floor.ts';

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const NOW_MS = Date.UTC(2027, 5, 1);
const NEW_YEAR_1970_MS = 20_000;

describe('a clock with a floor', () => {
  it.each([
    ['a right clock', NOW_MS, NOW_MS - DAY_MS, NOW_MS],
    ['1970 and nothing known', NEW_YEAR_1970_MS, 0, WRITTEN_MS],
    ['1970 and a time that has been', NEW_YEAR_1970_MS, NOW_MS, NOW_MS],
    ['a clock that is behind by a year', NOW_MS - 365 * DAY_MS, NOW_MS, NOW_MS],
  ])('%s', (_, wallMs, knownMs, believedMs) => {
    expect(createFlooredClock(new FakeClock(wallMs), knownMs).now()).toBe(believedMs);
  });

  it('is whole, as that of the host is', async () => {
    const clock = new FakeClock(NEW_YEAR_1970_MS);
    const floored = createFlooredClock(clock, NOW_MS);
    await clock.advance(0.75);
    expect([floored.now(), floored.floor()]).toEqual([NOW_MS, NOW_MS]);
  });

  it('goes on while the host has not been told the time, and follows it then, either way but below the floor', async () => {
    const clock = new FakeClock(NEW_YEAR_1970_MS);
    const floored = createFlooredClock(clock, NOW_MS);
    await clock.advance(HOUR_MS);
    expect(floored.now()).toBe(NOW_MS + HOUR_MS);
    clock.jump(NOW_MS + 5 * DAY_MS - clock.now());
    expect(floored.now()).toBe(NOW_MS + 5 * DAY_MS);
    clock.jump(-3 * DAY_MS);
    expect(floored.now()).toBe(NOW_MS + 2 * DAY_MS);
    clock.jump(-365 * DAY_MS);
    expect(floored.now()).toBe(NOW_MS + HOUR_MS);
  });
});

describe('what is written down', () => {
  function keeperAt(wallMs: number, knownMs: number) {
    const clock = new FakeClock(wallMs);
    const floored = createFlooredClock(clock, knownMs);
    const written: number[] = [];
    const write = async (floorMs: number) => void written.push(floorMs);
    return { clock, written, keeper: keepTimeFloor({ clock, floored, write, log: silentLogger }) };
  }

  it('the time once it has settled, nothing for a day, and at a clean stop', async () => {
    const { clock, written, keeper } = keeperAt(NOW_MS, NOW_MS - 9 * DAY_MS);
    await clock.advance(HOUR_MS - 1);
    expect(written).toEqual([]);
    await clock.advance(DAY_MS - HOUR_MS);
    expect(written).toHaveLength(1);
    await clock.advance(2 * HOUR_MS);
    expect(written).toHaveLength(2);
    await keeper.stop();
    expect(written.slice(2)).toEqual([NOW_MS + DAY_MS + 2 * HOUR_MS - 1]);
    await clock.advance(9 * DAY_MS);
    expect(written).toHaveLength(3);
  });

  it.each([
    ['a battery that shows the far future for half an hour', 3650 * DAY_MS, HOUR_MS / 2, 0],
    ['the future for two hours', 30 * DAY_MS, 2 * HOUR_MS, 30 * DAY_MS],
  ])('%s', async (_, jumpMs, heldMs, believedJumpMs) => {
    const { clock, written, keeper } = keeperAt(NOW_MS, NOW_MS);
    await clock.advance(2 * HOUR_MS);
    clock.jump(jumpMs);
    await clock.advance(heldMs);
    await keeper.stop();
    expect(written.at(-1)).toBe(NOW_MS + 2 * HOUR_MS + heldMs + believedJumpMs);
  });

  it('the time that has passed, where the clock stays in 1970', async () => {
    const { clock, written, keeper } = keeperAt(NEW_YEAR_1970_MS, NOW_MS);
    await clock.advance(3 * HOUR_MS);
    await keeper.stop();
    expect(written.at(-1)).toBe(NOW_MS + 3 * HOUR_MS);
  });

  it('a disk that refuses ends nothing', async () => {
    const clock = new FakeClock(NOW_MS);
    const write = () => Promise.reject(new Error('EROFS'));
    const keeper = keepTimeFloor({ clock, floored: createFlooredClock(clock, 0), write, log: silentLogger });
    await keeper.stop();
  });
});

it.each([
  [renderTimeFloor(NOW_MS), NOW_MS],
  [undefined, undefined],
  ['', undefined],
  ['\0\0\0\0', undefined],
])('a file that says %j', (text, floorMs) => {
  expect(parseTimeFloor(text)).toBe(floorMs);
});
