import type { Pod } from '#api/object/kinds.ts';
import type { PodActions } from './pod-action.ts';
import type { PodEvents } from './pod-events.ts';
import { formatPod } from './pod-spec.ts';

/** One event each time a container of a pod begins to wait for its next restart. */
export class CrashLoopEvents {
  readonly #events: PodEvents;
  /** By container, the message of the wait that was told. */
  #told: ReadonlyMap<string, string> = new Map();

  constructor(events: PodEvents) {
    this.#events = events;
  }

  tell(pod: Pod, waiting: PodActions['waiting']): void {
    for (const [name, { reason, message }] of waiting) {
      if (reason !== 'CrashLoopBackOff' || this.#told.get(name) === message) continue;
      const text = `Back-off restarting failed container ${name} in pod ${formatPod(pod)}`;
      this.#events.container(pod, name, 'Warning', 'BackOff', text);
    }
    this.#told = new Map([...waiting].map(([name, { message }]) => [name, message]));
  }
}
