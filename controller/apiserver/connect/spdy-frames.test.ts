import { constants, inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { encodeDataHeader, encodePing, encodeSynStream, type SpdyEvent, SpdyParser } from './spdy-frames.ts';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

/** Joins neighbouring data events, which depend on how the input was cut. */
function merged(events: readonly SpdyEvent[]): unknown[] {
  const out: { type: string; stream?: number; text?: string }[] = [];
  for (const event of events) {
    const last = out.at(-1);
    if (event.type !== 'data') out.push(event as { type: string });
    else if (last?.type === 'data' && last.stream === event.stream) last.text += text(event.bytes);
    else out.push({ type: 'data', stream: event.stream, text: text(event.bytes) });
  }
  return out;
}

describe('SPDY frames', () => {
  it('open a stream with headers in a deflate stream that needs no dictionary', () => {
    const frame = encodeSynStream(1, { streamtype: 'stdin' }, true);
    expect([...frame.subarray(0, 4)]).toEqual([0x80, 3, 0, 1]);
    expect(frame.readUInt32BE(4)).toBe(frame.length - 8);
    expect(frame.readUInt32BE(8)).toBe(1);
    const block = inflateSync(frame.subarray(18), { finishFlush: constants.Z_SYNC_FLUSH });
    expect(block.readUInt32BE(0)).toBe(1);
    expect(text(block.subarray(8, 18))).toBe('streamtype');
    expect(text(block.subarray(22))).toBe('stdin');
    // The second block goes on in the same deflate stream.
    const second = encodeSynStream(3, { streamtype: 'stdout' }, false);
    const both = Buffer.concat([frame.subarray(18), second.subarray(18)]);
    expect(text(inflateSync(both, { finishFlush: constants.Z_SYNC_FLUSH }))).toContain('stdout');
  });

  it('are read from any cut of the bytes', () => {
    const synReply = Buffer.from([0x80, 3, 0, 2, 0, 0, 0, 6, 0, 0, 0, 5, 0, 0]);
    const reset = Buffer.from([0x80, 3, 0, 3, 0, 0, 0, 8, 0, 0, 0, 7, 0, 0, 0, 1]);
    const whole = Buffer.concat([
      synReply,
      encodeDataHeader(5, 5, false),
      Buffer.from('hello'),
      encodePing(9),
      encodeDataHeader(5, 2, true),
      Buffer.from('!!'),
      reset,
      encodeDataHeader(1, 0, true),
    ]);
    const expected = [
      { type: 'data', stream: 5, text: 'hello' },
      { type: 'ping', id: 9 },
      { type: 'data', stream: 5, text: '!!' },
      { type: 'end', stream: 5 },
      { type: 'reset', stream: 7 },
      { type: 'end', stream: 1 },
    ];
    for (let cut = 0; cut <= whole.length; cut++) {
      const parser = new SpdyParser();
      const events = [...parser.push(whole.subarray(0, cut)), ...parser.push(whole.subarray(cut))];
      expect(merged(events)).toEqual(expected);
    }
  });

  it('refuse a control frame of absurd size', () => {
    const frame = Buffer.from([0x80, 3, 0, 6, 0, 0xff, 0xff, 0xff]);
    expect(() => new SpdyParser().push(frame)).toThrow('too large');
  });
});
