import type { Readable } from 'node:stream';
import type { ResponseStream } from '../server/api-request.ts';

/** A client that lags further behind than this makes us stop reading from whoever answers. */
const MAX_PENDING_BYTES = 256 * 1024;

/** Copies until either side ends; a source that breaks off is the end of a log: a follower asks again. */
export async function copyBody(source: Readable, target: ResponseStream): Promise<void> {
  await copyWhole(source, target).catch((err) => {
    if (!(err instanceof Error)) throw err;
  });
  target.end();
}

/** The same where half an answer must not look like a whole one: it breaks off for the client too. */
export async function copyAnswer(source: Readable, target: ResponseStream): Promise<void> {
  try {
    await copyWhole(source, target);
    target.end();
  } catch (err) {
    if (!(err instanceof Error)) throw err;
    if (target.abort === undefined) target.end();
    else target.abort();
  }
}

/** Reads no faster than the client takes. Rejects when the source breaks off or the client goes away. */
async function copyWhole(source: Readable, target: ResponseStream): Promise<void> {
  target.onClose(() => source.destroy());
  for await (const chunk of source) {
    target.write(chunk as Uint8Array);
    if (target.pendingBytes > MAX_PENDING_BYTES) await target.drained();
  }
}
