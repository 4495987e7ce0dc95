import type { Http2Session } from 'node:http2';

interface Activity {
  openRequests: number;
  /** Monotonic milliseconds; meaningful while no request is open. */
  idleSinceMs: number;
}

/** Which HTTP/2 sessions have nothing to do: clients that forget to close theirs would use them up. */
export class SessionActivity {
  readonly #sessions = new Map<Http2Session, Activity>();

  add(session: Http2Session): void {
    this.#sessions.set(session, { openRequests: 0, idleSinceMs: performance.now() });
  }

  remove(session: Http2Session): void {
    this.#sessions.delete(session);
  }

  onRequest(session: Http2Session | undefined): void {
    const activity = session === undefined ? undefined : this.#sessions.get(session);
    if (activity !== undefined) activity.openRequests++;
  }

  onRequestEnd(session: Http2Session | undefined): void {
    const activity = session === undefined ? undefined : this.#sessions.get(session);
    if (activity === undefined) return;
    activity.openRequests--;
    if (activity.openRequests === 0) activity.idleSinceMs = performance.now();
  }

  /** Sends those away that have been idle for so long; requests that cross the goodbye are answered. */
  closeIdle(idleMs: number): void {
    const nowMs = performance.now();
    for (const [session, { openRequests, idleSinceMs }] of this.#sessions) {
      if (openRequests === 0 && nowMs - idleSinceMs > idleMs) session.close();
    }
  }
}
