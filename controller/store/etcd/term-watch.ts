import { status } from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import { EtcdError } from './etcd-error.ts';

/** How often a cluster that is slow to answer is asked whether it has another leader by now. */
const PROBE_MS = 500;

interface Guarded {
  readonly term: number;
  readonly giveUp: () => void;
}

/**
 * Tells a call that is slow from one that is lost: what a member had passed on to a leader that is gone is answered by nobody, and the member
 * itself only says so after seven seconds. Every answer of etcd names the term of its leader; calls that were sent in an older one are given
 * up, their fate unknown. A slow disk changes no term, so nothing is given up for being slow.
 */
export class TermWatch {
  readonly #clock: Clock;
  readonly #probe: () => Promise<unknown>;
  readonly #guarded = new Set<Guarded>();
  #term = 0;
  #cancelTimer: (() => void) | undefined;

  /** `probe` asks a quorum for anything; its answer comes back through `note`. */
  constructor(clock: Clock, probe: () => Promise<unknown>) {
    this.#clock = clock;
    this.#probe = probe;
  }

  /** An answer came that names this term. */
  note(raftTerm: string): void {
    const term = Number(raftTerm);
    if (term <= this.#term) return;
    this.#term = term;
    for (const one of [...this.#guarded]) if (one.term < term) one.giveUp();
  }

  /** `call`, or a rejection with the fault `unknown` once the leader has changed since now. */
  guard<T>(call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void) => {
        this.#guarded.delete(one);
        if (this.#guarded.size === 0) this.#stopProbing();
        settle();
      };
      const lost = 'etcd has another leader since the request was sent';
      const one: Guarded = {
        term: this.#term,
        giveUp: () => end(() => reject(new EtcdError('unknown', status.UNAVAILABLE, lost))),
      };
      this.#guarded.add(one);
      this.#cancelTimer ??= this.#clock.after(PROBE_MS, () => this.#onTimer());
      call.then(
        (answer) => end(() => resolve(answer)),
        (err: unknown) => end(() => reject(err)),
      );
    });
  }

  #onTimer(): void {
    this.#cancelTimer = this.#clock.after(PROBE_MS, () => this.#onTimer());
    // Whether it fails or not: what counts is the term that some answer names.
    this.#probe().catch(() => {});
  }

  #stopProbing(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }
}
