import { type Clock, toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { isNotFound } from '../object/api-error.ts';
import { type Event, resources } from '../object/kinds.ts';
import type { KubeClient } from './client.ts';

export interface EventRecorderOptions {
  readonly client: KubeClient;
  /** `source.component`: who reports, e.g. `default-scheduler`. */
  readonly component: string;
  /** `source.host`: node name, for agents. */
  readonly host?: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Awaited before an Event that was recorded at `atMs` is sent; bounds its own wait. Absent: sent at once. */
  readonly pace?: (atMs: number) => Promise<void>;
}

/** What an Event is about; any object of ours fits. */
export interface EventSubject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name?: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
  /** `involvedObject.fieldPath`, e.g. `spec.containers{web}`. */
  readonly fieldPath?: string;
}

export interface EventRecorder {
  /** Never blocks, never throws: Events are best effort. The subject needs apiVersion and kind. */
  record(subject: EventSubject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** Resolves when all that was recorded has been sent or given up. */
  flush(): Promise<void>;
}

/** Beyond this many different messages for one reason within the window, they become one Event. */
const MAX_SIMILAR = 10;
const WINDOW_MS = 10 * 60_000;
/** Spam filter per subject: a burst, then one every five minutes. */
const BURST = 25;
const REFILL_MS = 300_000;
/** Subjects and messages remembered; the oldest go first. */
const MAX_REMEMBERED = 4096;
/** Waiting Events beyond this are dropped: the API server is away and they would only grow old. */
const MAX_PENDING = 1000;

interface Sent {
  readonly name: string;
  readonly namespace: string;
  readonly firstMs: number;
  count: number;
  lastMs: number;
}

interface Bucket {
  tokens: number;
  refilledMs: number;
}

interface Similar {
  readonly messages: Set<string>;
  sinceMs: number;
}

interface Occurrence {
  readonly subject: EventSubject;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  readonly atMs: number;
}

/** A map that forgets what was not used for longest. */
class RecentMap<V> {
  readonly #entries = new Map<string, V>();

  obtain(key: string, make: () => V): V {
    const value = this.#entries.get(key) ?? make();
    this.set(key, value);
    return value;
  }

  get(key: string): V | undefined {
    return this.#entries.get(key);
  }

  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= MAX_REMEMBERED) return;
    const oldest = this.#entries.keys().next();
    if (!oldest.done) this.#entries.delete(oldest.value);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }
}

class ApiEventRecorder implements EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #sent = new RecentMap<Sent>();
  readonly #buckets = new RecentMap<Bucket>();
  readonly #similar = new RecentMap<Similar>();
  /** Sends one after the other, so that counts stay right. */
  #tail: Promise<void> = Promise.resolve();
  #pending = 0;
  #lastNameMs = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
  }

  record(subject: EventSubject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const atMs = this.#options.clock.now();
    const identity = subject.metadata.uid ?? `${subject.kind}/${subject.metadata.namespace}/${subject.metadata.name}`;
    if (!this.#hasToken(identity, atMs) || this.#pending >= MAX_PENDING) return;
    const group = [identity, subject.fieldPath, type, reason].join('|');
    const text = this.#combine(group, message, atMs);
    this.#pending++;
    this.#tail = this.#tail
      .then(() => this.#send(`${group}|${text}`, { subject, type, reason, message: text, atMs }))
      .catch((err) => this.#options.log.debug('Event was not recorded', { reason, err: describeError(err) }))
      .finally(() => {
        this.#pending--;
      });
  }

  flush(): Promise<void> {
    return this.#tail;
  }

  #hasToken(identity: string, nowMs: number): boolean {
    const bucket = this.#buckets.obtain(identity, () => ({ tokens: BURST, refilledMs: nowMs }));
    bucket.tokens = Math.min(BURST, bucket.tokens + Math.max(0, nowMs - bucket.refilledMs) / REFILL_MS);
    bucket.refilledMs = nowMs;
    if (bucket.tokens < 1) return false;
    bucket.tokens--;
    return true;
  }

  #combine(group: string, message: string, nowMs: number): string {
    const similar = this.#similar.obtain(group, () => ({ messages: new Set(), sinceMs: nowMs }));
    if (nowMs - similar.sinceMs > WINDOW_MS) similar.messages.clear();
    similar.sinceMs = nowMs;
    if (similar.messages.has(message)) return message;
    if (similar.messages.size >= MAX_SIMILAR) return `(combined from similar events): ${message}`;
    similar.messages.add(message);
    return message;
  }

  async #send(key: string, occurrence: Occurrence): Promise<void> {
    await this.#options.pace?.(occurrence.atMs);
    const events = this.#options.client.resource<Event>(resources.events);
    // Combined messages differ each time and still count as one Event.
    const sentKey = key.replace(/\|\(combined from similar events\): .*$/s, '|combined');
    const sent = this.#sent.get(sentKey);
    if (sent !== undefined) {
      sent.count++;
      sent.lastMs = occurrence.atMs;
      const patch = { count: sent.count, lastTimestamp: toTime(sent.lastMs), message: occurrence.message };
      try {
        await events.patch({ namespace: sent.namespace, name: sent.name, type: 'merge', patch });
        return;
      } catch (err) {
        // Events live for an hour: a vanished one is made again, counting on.
        if (!isNotFound(err)) throw err;
      }
    }
    const namespace = occurrence.subject.metadata.namespace ?? 'default';
    const fresh: Sent = {
      name: `${occurrence.subject.metadata.name}.${this.#uniqueSuffix(occurrence.atMs)}`,
      namespace,
      firstMs: sent?.firstMs ?? occurrence.atMs,
      count: sent?.count ?? 1,
      lastMs: occurrence.atMs,
    };
    await events.create(this.#render(occurrence, fresh));
    this.#sent.set(sentKey, fresh);
  }

  /** Hex nanoseconds, as Kubernetes names Events; strictly growing within this recorder. */
  #uniqueSuffix(atMs: number): string {
    this.#lastNameMs = Math.max(atMs, this.#lastNameMs + 1);
    return (BigInt(Math.floor(this.#lastNameMs)) * 1_000_000n).toString(16);
  }

  #render({ subject, type, reason, message }: Occurrence, { name, namespace, firstMs, count, lastMs }: Sent) {
    const { component, host } = this.#options;
    const { resourceVersion, uid } = subject.metadata;
    return {
      apiVersion: 'v1' as const,
      kind: 'Event' as const,
      metadata: { name, namespace },
      involvedObject: {
        apiVersion: subject.apiVersion,
        kind: subject.kind,
        name: subject.metadata.name,
        namespace: subject.metadata.namespace,
        uid,
        resourceVersion,
        fieldPath: subject.fieldPath,
      },
      reason,
      message: message.slice(0, 1024),
      source: { component, ...(host === undefined ? {} : { host }) },
      firstTimestamp: toTime(firstMs),
      lastTimestamp: toTime(lastMs),
      count,
      type,
      reportingComponent: component,
      reportingInstance: host ?? '',
    };
  }
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  return new ApiEventRecorder(options);
}
