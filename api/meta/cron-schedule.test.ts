import { expect, test } from 'vitest';
import { CronError, isTimeZone, parseCron } from './cron-schedule.ts';

const list = (values: ReadonlySet<number>): string => [...values].sort((a, b) => a - b).join(',');

function show(text: string): string {
  const schedule = parseCron(text);
  if (schedule.kind === 'every') return `every ${schedule.intervalMs}`;
  const { minutes, hours, daysOfMonth, months, daysOfWeek } = schedule;
  return [minutes, hours, daysOfMonth, months, daysOfWeek].map(list).join(' ');
}

const ALL_DAYS = Array.from({ length: 31 }, (_, i) => i + 1).join(',');
const ALL_MONTHS = '1,2,3,4,5,6,7,8,9,10,11,12';
const ALL_WEEKDAYS = '0,1,2,3,4,5,6';

test.each<[text: string, shown: string]>([
  ['*/15 0 1 1 *', `0,15,30,45 0 1 1 ${ALL_WEEKDAYS}`],
  ['5 4 * * sun', `5 4 ${ALL_DAYS} ${ALL_MONTHS} 0`],
  ['0 22 * * 1-5', `0 22 ${ALL_DAYS} ${ALL_MONTHS} 1,2,3,4,5`],
  ['0 0,12 1 */2 ?', `0 0,12 1 1,3,5,7,9,11 ${ALL_WEEKDAYS}`],
  ['50/5 1-7/3 1 JAN-mar mon,WED', '50,55 1,4,7 1 1,2,3 1,3'],
  ['@daily', `0 0 ${ALL_DAYS} ${ALL_MONTHS} ${ALL_WEEKDAYS}`],
  ['@weekly', `0 0 ${ALL_DAYS} ${ALL_MONTHS} 0`],
  ['@every 1h30m', 'every 5400000'],
  ['@every 1.5s', 'every 1000'],
  ['@every 10ms', 'every 1000'],
])('reads %j', (text, shown) => {
  expect(show(text)).toBe(shown);
});

test('a zone may stand before the fields', () => {
  expect(parseCron('CRON_TZ=Asia/Tokyo 0 5 * * *')).toMatchObject({ timeZone: 'Asia/Tokyo' });
});

test.each([
  ['0 0 13 * 5', true],
  ['0 0 13 * *', false],
  ['0 0 * * 5', false],
])('in %j either day is enough: %j', (text, isAnyDay) => {
  expect(parseCron(text)).toMatchObject({ isAnyDay });
});

test.each([
  ['', 'empty spec string'],
  ['hello', 'expected exactly 5 fields, found 1: [hello]'],
  ['* * * * * *', 'expected exactly 5 fields, found 6: [* * * * * *]'],
  ['60 * * * *', 'end of range (60) above maximum (59): 60'],
  ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
  ['* * * * 7', 'end of range (7) above maximum (6): 7'],
  ['5-3 * * * *', 'beginning of range (5) beyond end of range (3): 5-3'],
  ['*/0 * * * *', 'step of range should be a positive number: */0'],
  ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
  ['1/2/3 * * * *', 'too many slashes: 1/2/3'],
  ['x * * * *', 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
  ['@never', 'unrecognized descriptor: @never'],
  ['@every 5', 'failed to parse duration @every 5: time: missing unit in duration "5"'],
  ['@every x', 'failed to parse duration @every x: time: invalid duration "x"'],
  ['TZ=Nowhere/Town 0 0 * * *', 'provided bad location Nowhere/Town: unknown time zone Nowhere/Town'],
])('refuses %j', (text, message) => {
  expect(() => parseCron(text)).toThrow(new CronError(message));
});

test.each([
  ['Europe/Berlin', true],
  ['UTC', true],
  ['Etc/GMT+3', true],
  ['Mars/Olympus', false],
  ['+01:00', false],
  ['__proto__', false],
])('time zone %s: %j', (name, isOne) => {
  expect(isTimeZone(name)).toBe(isOne);
});
