import type { Clock } from '#base/clock.ts';
import { listenForChanges } from '#base/listen-for-changes.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../host/host.ts';

export interface RulesMonitorOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  /** Somebody, perhaps ourselves, changed rules of the kernel: look whether ours still stand. */
  readonly onChange: () => void;
}

/** A full sync of ours makes thousands of lines: one look for all that come within this time. */
const GATHER_MS = 500;

/**
 * Listens to the kernel's rule events through the distribution's tools, which cost 2 MB. Legacy iptables has no events. Where neither tool
 * is there, the proxier's own interval remains.
 */
export async function watchRules(options: RulesMonitorOptions, signal: AbortSignal): Promise<void> {
  const { exec, log } = options;
  const argv = await monitorCommand(exec);
  if (argv === undefined) {
    log.info('no program on this host tells of changed rules; they are looked at from time to time');
    return;
  }
  // xtables-monitor tells the rules too, and ends each transaction with NEWGEN; what ends the program (a change larger than its buffer, and
  // in 1.8.9 rules of nftables that it does not understand, ours for one) is a change as well.
  const isChange = (line: string) => !argv.includes('--event') || line.startsWith('NEWGEN');
  const listen = exec.stream.bind(exec, argv);
  await listenForChanges({ ...options, listen, isChange, gatherMs: GATHER_MS }, signal);
}

/** `nft monitor` keeps the whole rule set in memory (78 MB with 2,000 Services in iptables), so it is the second choice. */
async function monitorCommand(exec: Executor): Promise<readonly [string, ...string[]] | undefined> {
  const [xtables, stdbuf, nft] = await Promise.all(['xtables-monitor', 'stdbuf', 'nft'].map((name) => exec.find(name)));
  if (xtables !== undefined && stdbuf !== undefined) return [stdbuf, '-oL', xtables, '--event'];
  return nft === undefined ? undefined : [nft, 'monitor', 'destroy', 'rules'];
}
