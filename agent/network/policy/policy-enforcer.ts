import type { Informer } from '#api/client/informer.ts';
import type { IpFamily } from '#api/meta/ip-address.ts';
import { NODE_POLICY_KEY, type NodePolicy } from '#api/network/node-policy.ts';
import type { ConfigMap } from '#api/object/kinds.ts';
import { backoffDelayMs } from '#base/backoff.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../../host/host.ts';
import type { NetworkProblem } from '../network-problem.ts';
import { hasTables } from '../own-tables.ts';
import {
  computePolicyTable,
  POLICY_TABLE,
  type PolicyOptions,
  type PolicyTable,
  renderPolicyChange,
} from './render-policy.ts';

export interface PolicyEnforcerOptions {
  readonly exec: Executor;
  readonly clock: Clock;
  readonly log: Logger;
  /** Shows the one ConfigMap that tells this node what to enforce, or none. */
  readonly compiled: Informer<ConfigMap>;
  readonly families: readonly IpFamily[];
  /** Where the cluster DNS answers on this node; undefined: it does not. */
  readonly dns: { readonly addresses: Readonly<Partial<Record<IpFamily, string>>>; readonly port: number } | undefined;
  readonly clusterDns: readonly string[];
  /** What keeps policies from being enforced; none: nothing does. */
  readonly onProblems: (problems: readonly NetworkProblem[]) => void;
}

export interface PolicyEnforcer {
  /** Enforces until aborted. What stands in the kernel stays there: a policy must not lapse because the agent restarts. */
  start(signal: AbortSignal): void;
  /** Somebody flushed the kernel's rules: everything is written again. */
  reassert(): void;
  /** Whether the kernel still has what was written; true before there is any. */
  isIntact(): Promise<boolean>;
}

const RETRY = { initialMs: 250, maxMs: 30_000, jitter: 0.2 };
/** Somebody who changes rules at the same moment is done at the next try. */
const TOLD_FROM = 2;

export function createPolicyEnforcer(options: PolicyEnforcerOptions): PolicyEnforcer {
  const { exec, clock, log, compiled, families } = options;
  const installed = new Map<IpFamily, PolicyTable>();
  let isDirty = true;
  let wake = () => {};
  const touch = () => {
    isDirty = true;
    wake();
  };
  compiled.addHandler({ onAdd: touch, onUpdate: touch, onDelete: touch });

  function resolverOf(family: IpFamily): PolicyOptions['dns'] {
    const address = options.dns?.addresses[family];
    return options.dns === undefined || address === undefined ? undefined : { address, port: options.dns.port };
  }

  async function sync(): Promise<void> {
    const [object] = compiled.list();
    const text = object?.data?.[NODE_POLICY_KEY];
    const policy = text === undefined ? undefined : (JSON.parse(text) as NodePolicy);
    const nft = await exec.find('nft');
    if (nft === undefined) {
      if (policy !== undefined) throw new Error('NetworkPolicies cannot be enforced: install the package "nftables"');
      return;
    }
    if (policy === undefined) {
      await removePolicyTables(exec);
      installed.clear();
      return;
    }
    for (const family of families) {
      const table = computePolicyTable(policy, { family, dns: resolverOf(family), clusterDns: options.clusterDns });
      const change = renderPolicyChange(installed.get(family), table, family);
      if (change === '') continue;
      // Until it is known to stand, the next try starts from nothing.
      installed.delete(family);
      await exec.run([nft, '-f', '-'], { stdin: change });
      installed.set(family, table);
    }
    log.debug('enforces network policies', { groups: policy.groups.length });
  }

  async function run(signal: AbortSignal): Promise<void> {
    await compiled.waitForSync(signal);
    signal.addEventListener('abort', () => wake(), { once: true });
    let failures = 0;
    while (!signal.aborted) {
      if (!isDirty) await new Promise<void>((resolve) => (wake = resolve));
      if (signal.aborted) return;
      isDirty = false;
      try {
        await sync();
        failures = 0;
        options.onProblems([]);
      } catch (err) {
        isDirty = true;
        failures += 1;
        log.error('network policies are not enforced', { err: describeError(err), failures });
        // A host without nft is told of by whoever looks at the host.
        if (failures >= TOLD_FROM && (await exec.find('nft')) !== undefined) options.onProblems([notEnforced(err)]);
        await delay(clock, backoffDelayMs(failures, RETRY), signal);
      }
    }
  }

  return {
    start(signal) {
      run(signal).catch((err: unknown) => {
        if (!signal.aborted) log.error('network policies are no longer followed', { err: describeError(err) });
      });
    },
    reassert() {
      installed.clear();
      touch();
    },
    isIntact: () =>
      hasTables(
        exec,
        [...installed.keys()].map((family) => `${family === 'IPv6' ? 'ip6' : 'ip'} ${POLICY_TABLE}`),
      ),
  };
}

const notEnforced = (err: unknown): NetworkProblem => ({
  reason: 'PoliciesNotEnforced',
  cause: `changes of NetworkPolicies are not enforced on this node, because their rules cannot be set: ${describeError(err)}`,
  cure: 'look at what nft says on this host, and use a kernel with what it names; the agent tries again by itself',
  isDegraded: true,
});

/** Takes back everything that enforcing put into the kernel. */
export async function removePolicyTables(exec: Executor): Promise<void> {
  const nft = await exec.find('nft');
  if (nft === undefined) return;
  const { stdout } = await exec.run([nft, 'list', 'tables']);
  for (const f of ['ip', 'ip6'])
    if (stdout.includes(`table ${f} ${POLICY_TABLE}`)) await exec.run([nft, 'delete', 'table', f, POLICY_TABLE]);
}
