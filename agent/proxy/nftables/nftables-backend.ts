import type { Executor } from '../../host/host.ts';
import { ExecError } from '../../host/host.ts';
import type { PlanChange } from '../change-tracker.ts';
import type { ProxyBackend } from '../proxy-backend.ts';
import { type Installed, renderFullSync, renderPartialSync, type SharedState } from './render-nft.ts';
import { type NftOptions, nftFamily, TABLE } from './table-layout.ts';

/** As for iptables: a large cluster takes its time on a small host. */
const BULK_TIMEOUT_MS = 600_000;

export interface NftablesBackendOptions {
  readonly exec: Executor;
  /** Path of `nft`. */
  readonly nft: string;
  readonly rules: NftOptions;
}

export function createNftablesBackend({ exec, nft, rules }: NftablesBackendOptions): ProxyBackend {
  const f = nftFamily(rules.family);
  let state: SharedState | undefined;
  const apply = (stdin: string) => exec.run([nft, '-f', '-'], { stdin, timeoutMs: BULK_TIMEOUT_MS });

  /** Names in our table; undefined when there is none. `-t` leaves the elements out. */
  async function listInstalled(): Promise<Installed | undefined> {
    try {
      return parseInstalled((await exec.run([nft, '-j', '-t', 'list', 'table', f, TABLE])).stdout);
    } catch (err) {
      if (isAbsent(err)) return undefined;
      throw err;
    }
  }

  return {
    async fullSync(plans) {
      state = undefined;
      const installed = await listInstalled();
      const gentle = renderFullSync(plans, installed, rules);
      try {
        await apply(gentle.text);
      } catch (err) {
        if (installed === undefined || !(err instanceof ExecError)) throw err;
        // An older version's table may hold the same names with other types.
        await apply(renderFullSync(plans, undefined, rules).text);
      }
      state = gentle.state;
    },

    async partialSync(changes: readonly PlanChange[]) {
      if (state === undefined) throw new Error('nftables: a partial sync needs a full one before it');
      const next = renderPartialSync(changes, state, rules);
      for (const text of [next.preparation, next.text]) if (text !== '') await apply(text);
      state = next.state;
    },

    async isIntact() {
      try {
        const { stdout } = await exec.run([nft, 'list', 'chain', f, TABLE, 'nat-prerouting']);
        return stdout.includes('jump services');
      } catch (err) {
        if (isAbsent(err)) return false;
        throw err;
      }
    },

    async cleanUp() {
      // `add` first: deleting what is absent is an error.
      await apply(`add table ${f} ${TABLE}\ndelete table ${f} ${TABLE}\n`);
    },
  };
}

/** nft ends with 1 when the object does not exist, and for most other mistakes too, so its words must be read. */
const isAbsent = (err: unknown): boolean => err instanceof ExecError && /No such file or directory/.test(err.stderr);

function parseInstalled(json: string): Installed {
  const { nftables } = JSON.parse(json) as { nftables: Readonly<Record<string, { name?: string } | undefined>>[] };
  const names = (kind: string) => nftables.flatMap((entry) => entry[kind]?.name ?? []);
  return { chains: names('chain'), sets: names('set'), maps: names('map') };
}
