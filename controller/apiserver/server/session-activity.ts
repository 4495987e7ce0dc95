import type { Http2Session } from 'node:http2';

/**
 * Requests of one session that are begun in a turn of the event loop. More of them wait for the next turns, so that whoever sends a
 * thousand at once holds up nobody else.
 */
const STARTS_A_TURN = 16;

/** A request that waits for its turn. */
interface Waiting {
  /** Taken back by the client: nothing needs to be done for it any more. */
  readonly isGone: () => boolean;
  readonly begin: () => void;
}

interface Activity {
  openRequests: number;
  begunInTurn: number;
  readonly waiting: Waiting[];
  /** Monotonic milliseconds; meaningful while no request is open. */
  idleSinceMs: number;
}

/** What HTTP/2 sessions are busy with: those that ask for too much at once wait, those that forget to hang up are sent away. */
export class SessionActivity {
  readonly #sessions = new Map<Http2Session, Activity>();

  add(session: Http2Session): void {
    this.#sessions.set(session, { openRequests: 0, begunInTurn: 0, waiting: [], idleSinceMs: performance.now() });
  }

  remove(session: Http2Session): void {
    this.#sessions.delete(session);
  }

  /**
   * Counts a request and begins it, at once or when it is its turn. What was taken back by then is never begun: an attacker who resets
   * each request as soon as it is sent (CVE-2023-44487) has us parse its headers and no more.
   */
  onRequest(session: Http2Session, request: Waiting): void {
    const activity = this.#sessions.get(session);
    if (activity === undefined) {
      request.begin();
      return;
    }
    activity.openRequests++;
    if (activity.begunInTurn < STARTS_A_TURN) begin(activity, request);
    else activity.waiting.push(request);
  }

  onRequestEnd(session: Http2Session): void {
    const activity = this.#sessions.get(session);
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

function begin(activity: Activity, request: Waiting): void {
  if (activity.begunInTurn++ === 0) setImmediate(beginTurn, activity);
  request.begin();
}

/** Node has no word for the end of a turn; immediates run once the sockets that had something to say were read. */
function beginTurn(activity: Activity): void {
  const { waiting } = activity;
  activity.begunInTurn = 0;
  let seen = 0;
  for (; seen < waiting.length && activity.begunInTurn < STARTS_A_TURN; seen++) {
    const request = waiting[seen] as Waiting;
    if (!request.isGone()) begin(activity, request);
  }
  waiting.splice(0, seen);
}
