import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../host/host.ts';

export interface RulesMonitorOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody, perhaps ourselves, changed rules of the kernel: look whether ours still stand. */
  readonly onChange: () => void;
}

const RESTART_MS = 700;
/** By then the program listens. */
const STARTED_MS = 300;
/** A full sync of ours makes thousands of lines: one look for all that come within this time. */
const GATHER_MS = 500;

/**
 * Listens to the kernel's rule events through the distribution's tools, which cost 2 MB. Legacy iptables has no events. Where neither tool
 * is there, the proxier's own interval remains.
 */
export async function watchRules(options: RulesMonitorOptions, signal: AbortSignal): Promise<void> {
  const { exec, clock, log } = options;
  const argv = await monitorCommand(exec);
  if (argv === undefined) {
    log.info('no program on this host tells of changed rules; they are looked at from time to time');
    return;
  }
  let isGathering = false;
  const touch = () => {
    if (isGathering) return;
    isGathering = true;
    clock.after(GATHER_MS, () => {
      isGathering = false;
      if (!signal.aborted) options.onChange();
    });
  };
  // xtables-monitor tells the rules too, and ends each transaction with NEWGEN; what ends the program (a change larger than its buffer)
  // is a change as well.
  const onLine = (line: string) => {
    if (!argv.includes('--event') || line.startsWith('NEWGEN')) touch();
  };
  while (!signal.aborted) {
    // xtables-monitor 1.8.9 ends at rules of nftables that it does not understand, ours for one: nobody listened until now.
    const cancel = clock.after(STARTED_MS, touch);
    try {
      await exec.stream(argv, onLine, signal);
    } catch (err) {
      log.debug('the monitor of rules cannot run', { err: describeError(err) });
    }
    cancel();
    if (signal.aborted) return;
    touch();
    await delay(clock, RESTART_MS, signal).catch(() => {});
  }
}

/** `nft monitor` keeps the whole rule set in memory (78 MB with 2,000 Services in iptables), so it is the second choice. */
async function monitorCommand(exec: Executor): Promise<readonly [string, ...string[]] | undefined> {
  const [xtables, stdbuf, nft] = await Promise.all(['xtables-monitor', 'stdbuf', 'nft'].map((name) => exec.find(name)));
  if (xtables !== undefined && stdbuf !== undefined) return [stdbuf, '-oL', xtables, '--event'];
  return nft === undefined ? undefined : [nft, 'monitor', 'destroy', 'rules'];
}
