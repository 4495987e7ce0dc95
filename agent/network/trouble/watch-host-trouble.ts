import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { type ExamineOptions, examineHost } from './examine-host.ts';
import { type FactSources, readHostNetworkFacts } from './host-facts.ts';

export interface HostTroubleOptions extends FactSources, ExamineOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

export interface HostTroubleWatch {
  /** Looks now, once the network of this node has been set up: before that, what is missing is no news. */
  look(): void;
  /** Somebody, perhaps ourselves, changed rules of the kernel: looks soon, once for all that come meanwhile. */
  lookSoon(): void;
  /** Looks from time to time until aborted: firewalls are reloaded, settings are reset. */
  run(signal: AbortSignal): Promise<void>;
}

const LOOK_MS = 60_000;
/** A look starts a handful of programs, and where Services come and go rules change all the time. */
const LOOK_SOON_MS = 10_000;

export function watchHostTrouble(options: HostTroubleOptions): HostTroubleWatch {
  const { clock, log, onProblems } = options;
  let isSetUp = false;
  let wake = new AbortController();
  let lastLookMs = Number.NEGATIVE_INFINITY;
  let isSoon = false;
  return {
    look() {
      isSetUp = true;
      wake.abort();
    },
    lookSoon() {
      if (isSoon) return;
      isSoon = true;
      clock.after(Math.max(0, lastLookMs + LOOK_SOON_MS - clock.monotonic()), () => {
        isSoon = false;
        wake.abort();
      });
    },
    async run(signal) {
      while (!signal.aborted) {
        wake = new AbortController();
        lastLookMs = clock.monotonic();
        if (isSetUp)
          await readHostNetworkFacts(options).then(
            (facts) => onProblems(examineHost(facts, options)),
            (err: unknown) => log.debug('the host could not be looked at', { err: describeError(err) }),
          );
        await delay(clock, LOOK_MS, AbortSignal.any([signal, wake.signal])).catch(() => {});
      }
    },
  };
}
