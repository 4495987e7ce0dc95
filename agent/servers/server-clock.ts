import type { Transport } from '#api/client/transport.ts';
import type { Clock } from '#base/clock.ts';
import { CLOCK_JUMP_MS } from '#base/clock-jumps.ts';

/** Every answer tells the time; one in so many milliseconds is read. */
const LOOK_MS = 2_000;

/** The same transport; tells when the clock of the server was set, by the time that its answers tell and our own. */
export function watchServerClock(transport: Transport, clock: Clock, onJump: () => void): Transport {
  let knownMs: number | undefined;
  let lookedMs = Number.NEGATIVE_INFINITY;
  const look = (date: string | undefined): void => {
    const nowMs = clock.monotonic();
    if (date === undefined || nowMs - lookedMs < LOOK_MS) return;
    lookedMs = nowMs;
    const offsetMs = Date.parse(date) - nowMs;
    if (Number.isNaN(offsetMs)) return;
    const before = knownMs;
    knownMs = offsetMs;
    if (before !== undefined && Math.abs(offsetMs - before) > CLOCK_JUMP_MS) onJump();
  };
  return {
    async request(request) {
      const response = await transport.request(request);
      look(response.headers.date);
      return response;
    },
    close: () => transport.close(),
  };
}
