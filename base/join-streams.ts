import type { Duplex } from 'node:stream';

/** Copies both ways with back-pressure; the end of one direction is passed on as such, an error ends both. */
export function joinStreams(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on('error', (err) => {
      // The reason travels to the other side; both sides have a handler, so it ends nothing else. What has ended has said all it had, and
      // that somebody still wrote to it takes nothing from what it said: it is closed, below.
      if (!to.destroyed && !from.readableEnded) to.destroy(err);
    });
    from.once('close', () => {
      if (to.destroyed) return;
      to.end();
      if (to.writableFinished) to.destroy();
      else to.once('finish', () => to.destroy());
    });
    from.pipe(to);
  }
}
