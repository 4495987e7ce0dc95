import type { BackedUpObject } from './backup-records.ts';

/** An empty store that a state is brought into. */
export interface StateSink {
  add(object: BackedUpObject): Promise<void>;
  /**
   * Makes it durable, compares what is there with what was added, and answers the number of objects. Revisions go on behind `raisedTo`, and
   * everything older answers 410.
   */
  finish(): Promise<number>;
  /** Takes back what was brought in; nothing after `finish`. */
  abandon(): Promise<void>;
}
