import type { Reservation } from './plugin.ts';

/**
 * Keeps all that was promised to a pod. Where one promise cannot be kept, the others are given up through `waiting`, and all have come to
 * an end when this rejects: the pod's next try finds nothing of them.
 */
export async function fulfilAll(reservations: readonly Reservation[], waiting: AbortController): Promise<void> {
  const ends = reservations.map((reservation) => reservation.fulfil(waiting.signal));
  try {
    await Promise.all(ends);
  } catch (err) {
    waiting.abort(err);
    await Promise.allSettled(ends);
    throw err;
  }
}
