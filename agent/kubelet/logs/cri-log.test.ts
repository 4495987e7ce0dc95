import { describe, expect, it } from 'vitest';
import { LineSplitter, type LogFormat, LogRenderer, parseLogLine } from './cri-log.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const string = (data: Uint8Array) => new TextDecoder().decode(data);
const T = '2026-01-01T00:00:00.000000001Z';

describe('CRI log line', () => {
  it.each([
    ['a full line', `${T} stdout F hello world`, { stream: 'stdout', isPartial: false, content: 'hello world' }],
    ['a partial line', `${T} stderr P half`, { stream: 'stderr', isPartial: true, content: 'half' }],
    ['further tags', `${T} stdout P:X a`, { stream: 'stdout', isPartial: true, content: 'a' }],
    ['an empty line', `${T} stdout F `, { stream: 'stdout', isPartial: false, content: '' }],
    ['an empty line without blank', `${T} stdout F`, { stream: 'stdout', isPartial: false, content: '' }],
    ['leading blanks', `${T} stdout F   x`, { stream: 'stdout', isPartial: false, content: '  x' }],
    [
      'an offset in the time',
      '2026-01-01T01:00:00+01:00 stdout F ü',
      { stream: 'stdout', isPartial: false, content: 'ü' },
    ],
  ])('parses %s', (_, line, expected) => {
    const record = parseLogLine(bytes(line))!;
    expect({ ...record, content: string(record.content) }).toMatchObject(expected);
  });

  it.each(['', 'x', `${T} stdout`, `${T} other F a`, `yesterday stdout F a`, '\0\0\0\0'])('refuses %j', (line) => {
    expect(parseLogLine(bytes(line))).toBeUndefined();
  });
});

describe('line splitter', () => {
  it('puts lines together over any cut of the stream', () => {
    const whole = bytes('one\ntwo\n\nthrée\nrest');
    for (let cut = 0; cut <= whole.length; cut++) {
      const splitter = new LineSplitter();
      const lines = [...splitter.push(whole.slice(0, cut)), ...splitter.push(whole.slice(cut))].map(string);
      expect(lines).toEqual(['one', 'two', '', 'thrée']);
      expect(splitter.pendingBytes).toBe(4);
    }
  });
});

describe('log renderer', () => {
  const format: LogFormat = { timestamps: false, sinceMs: undefined, limitBytes: undefined, stream: 'All' };
  const render = (options: Partial<LogFormat>, ...lines: string[]) => {
    const renderer = new LogRenderer({ ...format, ...options });
    return lines.map((line) => string(renderer.render(parseLogLine(bytes(line))!))).join('');
  };

  it('joins the parts of a split line', () => {
    expect(render({}, `${T} stdout P ab`, `${T} stdout P cd`, `${T} stdout F ef`, `${T} stdout F g`)).toBe(
      'abcdef\ng\n',
    );
  });

  it('puts a time before each line but not inside a split one', () => {
    const output = render({ timestamps: true }, `${T} stdout P ab`, `${T} stdout F cd`, `${T} stdout F e`);
    expect(output).toBe(`${T} abcd\n${T} e\n`);
  });

  it('leaves out what is older than asked', () => {
    const lines = ['2026-01-01T00:00:01Z stdout F old', '2026-01-01T00:00:02Z stdout F new'];
    expect(render({ sinceMs: Date.UTC(2026, 0, 1, 0, 0, 2) }, ...lines)).toBe('new\n');
  });

  it('stops at the byte limit, inside a line if need be', () => {
    expect(render({ limitBytes: 6 }, `${T} stdout F abc`, `${T} stdout F defg`)).toBe('abc\nde');
  });

  it('keeps to one stream when asked', () => {
    expect(render({ stream: 'Stderr' }, `${T} stdout F out`, `${T} stderr F err`)).toBe('err\n');
  });
});
