import { once } from 'node:events';
import { Duplex, duplexPair, PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { joinStreams } from './join-streams.ts';

/** All that the stream says; its other direction stays open. */
async function text(stream: Duplex): Promise<string> {
  let said = '';
  stream.on('data', (chunk) => (said += chunk));
  await once(stream, 'end');
  return said;
}

describe('joined streams', () => {
  it('pass on both directions and their ends', async () => {
    const [near, a] = duplexPair();
    const [b, far] = duplexPair();
    joinStreams(a, b);
    near.end('question');
    expect(await text(far)).toBe('question');
    far.end('answer');
    expect(await text(near)).toBe('answer');
  });

  it('tell the other side why one broke', async () => {
    const [a, b] = [new PassThrough(), new PassThrough()];
    joinStreams(a, b);
    const failed = once(b, 'error');
    a.destroy(new Error('torn'));
    expect(await failed).toMatchObject([{ message: 'torn' }]);
  });

  it('deliver all that was said before an end, though what is written after it fails', async () => {
    const backend = new Duplex({
      read() {
        this.push('last words');
        this.push(null);
      },
      write: (_chunk, _encoding, done) => done(new Error('This socket has been ended by the other party')),
    });
    const slow = Promise.withResolvers<() => void>();
    let heard = '';
    const client = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        heard += chunk;
        slow.resolve(done);
      },
    });
    const hasEnded = once(backend, 'end');
    const whole = once(client, 'finish');
    joinStreams(client, backend);
    await hasEnded;
    const closed = new Promise((resolve) => backend.once('close', resolve));
    client.push('too late');
    await closed;
    (await slow.promise)();
    await whole;
    expect(heard).toBe('last words');
  });
});
