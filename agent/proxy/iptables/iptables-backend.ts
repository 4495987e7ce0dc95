import type { Executor } from '../../host/host.ts';
import { ExecError } from '../../host/host.ts';
import type { PlanChange } from '../change-tracker.ts';
import type { ProxyBackend } from '../proxy-backend.ts';
import type { ServicePortPlan } from '../service-port-plan.ts';
import { type BaseRuleOptions, CHAIN_JUMPS, type ChainJump, FILTER_CHAINS, NAT_CHAINS } from './base-rules.ts';
import { SERVICE_CHAIN_PATTERN } from './chain-names.ts';
import type { IptablesBinaries } from './iptables-binaries.ts';
import { renderFullSync, renderPartialSync } from './render-restore.ts';

/** Seconds to wait for the xtables lock that other programs of the host may hold (legacy; nft commits atomically and ignores it). */
const LOCK_WAIT_SECONDS = '5';
/** A quarter of a million endpoints take iptables-restore a minute and more on a small host; it is no reason to begin anew. */
const BULK_TIMEOUT_MS = 600_000;
/** Left in mangle so that other software sees which variant is in use (KEP-3178). */
const HINT_CHAIN = 'KUBE-IPTABLES-HINT';

export interface IptablesBackendOptions {
  readonly exec: Executor;
  readonly binaries: IptablesBinaries;
  readonly rules: BaseRuleOptions;
}

export function createIptablesBackend({ exec, binaries, rules }: IptablesBackendOptions): ProxyBackend {
  const restore = async (text: string): Promise<void> => {
    await exec.run([binaries.restore, '--noflush', '-w', LOCK_WAIT_SECONDS], {
      stdin: text,
      timeoutMs: BULK_TIMEOUT_MS,
    });
  };
  // Rules within our chains, hundreds of thousands in a large cluster, are not asked for: chains and jumps are.
  const keepLine = (line: string) => !line.startsWith('-A KUBE-');
  const save = async () => (await exec.run([binaries.save], { keepLine, timeoutMs: BULK_TIMEOUT_MS })).stdout;
  const iptables = (...args: string[]) => exec.run([binaries.iptables, '-w', LOCK_WAIT_SECONDS, ...args]);

  async function hasJump(jump: ChainJump): Promise<boolean> {
    return succeeds(iptables('-t', jump.table, '-C', jump.from, ...jumpArgs(jump)));
  }

  return {
    async fullSync(plans: readonly ServicePortPlan[]) {
      const saved = await save();
      const present = chainsByTable(saved);
      const installed = new Set([...(present.get('nat') ?? [])].filter((name) => SERVICE_CHAIN_PATTERN.test(name)));
      const hint = `*mangle\n:${HINT_CHAIN} - [0:0]\nCOMMIT\n`;
      // Jumps come with the same run: asking and inserting one by one costs a program start each.
      const runs = renderFullSync(plans, installed, rules);
      for (const text of runs.slice(0, -1)) await restore(text);
      await restore(`${hint}${runs.at(-1)}${missingJumps(saved)}`);
    },

    async partialSync(changes: readonly PlanChange[]) {
      const text = renderPartialSync(changes, rules);
      if (text !== '') await restore(text);
    },

    async isIntact() {
      // Of filter all jumps at once, because somebody may flush a single chain; nat is too large to be told whole.
      const saved = exec.run([binaries.save, '-t', 'filter'], { keepLine, timeoutMs: BULK_TIMEOUT_MS });
      const nat = await Promise.all(CHAIN_JUMPS.filter(({ table }) => table === 'nat').map(hasJump));
      return nat.every(Boolean) && missingJumps((await saved).stdout, ['filter']) === '';
    },

    async cleanUp() {
      for (const jump of CHAIN_JUMPS) {
        while (await hasJump(jump)) await iptables('-t', jump.table, '-D', jump.from, ...jumpArgs(jump));
      }
      const present = chainsByTable(await save());
      const serviceChains = [...(present.get('nat') ?? [])].filter((name) => SERVICE_CHAIN_PATTERN.test(name));
      const ours: readonly (readonly [string, readonly string[]])[] = [
        ['nat', [...NAT_CHAINS, ...serviceChains]],
        ['filter', [...FILTER_CHAINS]],
        ['mangle', [HINT_CHAIN]],
      ];
      for (const [table, chains] of ours) {
        const standing = chains.filter((chain) => present.get(table)?.has(chain));
        if (standing.length === 0) continue;
        const body = [...standing.map((chain) => `:${chain} - [0:0]`), ...standing.map((chain) => `-X ${chain}`)];
        await restore(`*${table}\n${body.join('\n')}\nCOMMIT\n`);
      }
    },
  };
}

function jumpArgs(jump: ChainJump): string[] {
  const match = jump.match === '' ? [] : jump.match.split(' ');
  const comment = jump.comment === '' ? [] : ['-m', 'comment', '--comment', jump.comment];
  return [...match, ...comment, '-j', jump.to];
}

const jumpText = (jump: ChainJump): string =>
  [jump.from, ...jumpArgs(jump).map((word) => (word.includes(' ') ? `"${word}"` : word))].join(' ');

/** What brings a saved rule set the jumps that it lacks, and in their order, as restore text. */
function missingJumps(saved: string, tables: readonly ChainJump['table'][] = ['nat', 'filter']): string {
  const lines = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      current = [];
      lines.set(line.slice(1), current);
    } else if (line.startsWith('-A ')) current.push(line.slice('-A '.length));
  }
  return tables
    .map((table) => {
      const byHook = Map.groupBy(
        CHAIN_JUMPS.filter((jump) => jump.table === table),
        ({ from }) => from,
      );
      const changes = [...byHook.values()].flatMap((jumps) => jumpChanges(lines.get(table) ?? [], jumps.map(jumpText)));
      return changes.length === 0 ? '' : `*${table}\n${changes.join('\n')}\nCOMMIT\n`;
    })
    .join('');
}

/** New ones go in front of all others; where that does not make the order (one alone was deleted, or an agent of before had another) all are set anew. */
function jumpChanges(standing: readonly string[], wanted: readonly string[]): string[] {
  const present = standing.filter((line) => wanted.includes(line));
  const missing = wanted.filter((line) => !present.includes(line));
  const isInOrder = [...missing, ...present].join('\n') === wanted.join('\n');
  const inserted = (isInOrder ? missing : wanted).toReversed().map((line) => `-I ${line}`);
  return isInOrder ? inserted : [...present.map((line) => `-D ${line}`), ...inserted];
}

function chainsByTable(saved: string): Map<string, Set<string>> {
  const tables = new Map<string, Set<string>>();
  let current = new Set<string>();
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) {
      current = new Set();
      tables.set(line.slice(1), current);
    } else if (line.startsWith(':')) {
      current.add(line.slice(1, line.indexOf(' ')));
    }
  }
  return tables;
}

/** iptables -C answers "no such rule" and "no such chain" with exit codes 1 and 2. */
async function succeeds(run: Promise<unknown>): Promise<boolean> {
  try {
    await run;
    return true;
  } catch (err) {
    if (err instanceof ExecError && (err.exitCode === 1 || err.exitCode === 2)) return false;
    throw err;
  }
}
