import type { IpFamily } from '#api/meta/ip-address.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../host/host.ts';
import { createIptablesBackend } from './iptables/iptables-backend.ts';
import { chooseIptables, type IptablesBinaries, otherVariant } from './iptables/iptables-binaries.ts';
import { createNftablesBackend } from './nftables/nftables-backend.ts';
import type { ProxyBackend } from './proxy-backend.ts';

export type ProxyMode = 'iptables' | 'nftables';

export interface BackendOptions {
  readonly exec: Executor;
  readonly log: Logger;
  /** One range of pod addresses per family that this cluster has. */
  readonly clusterCidrs: Readonly<Partial<Record<IpFamily, string>>>;
  /** Undefined: every address of the node. */
  readonly nodePortRanges: readonly string[] | undefined;
  readonly localhostNodePorts: boolean;
}

export interface ChosenBackend extends ProxyBackend {
  readonly mode: ProxyMode;
  /** Removes what an earlier agent left through the other backend, and through the other variant of iptables. Call after a full sync. */
  cleanOthers(): Promise<void>;
}

/**
 * `auto` takes iptables where the host has it: firewalls that drop forwarded packets (Docker, ufw) can only be passed in their own tables.
 * Throws a plain Error that names the missing package.
 */
export async function chooseBackend(wanted: 'auto' | ProxyMode, options: BackendOptions): Promise<ChosenBackend> {
  const { exec } = options;
  const hasIptables = (await exec.find('iptables')) !== undefined;
  const nft = await exec.find('nft');
  const mode = wanted === 'auto' ? (hasIptables ? 'iptables' : 'nftables') : wanted;
  if (mode === 'nftables' && nft === undefined) throw new Error('no nft on this host: install the package "nftables"');
  const families = (['IPv4', 'IPv6'] as const).filter((family) => options.clusterCidrs[family] !== undefined);
  const binaries = new Map<IpFamily, IptablesBinaries>();
  if (hasIptables) for (const family of families) binaries.set(family, await chooseIptables(exec, family));
  const nftBackends = new Map(
    nft === undefined ? [] : families.map((family) => [family, nftBackend(nft, family, options)] as const),
  );
  const iptablesBackends = new Map(
    [...binaries].map(([family, programs]) => [family, iptablesBackend(programs, family, options)] as const),
  );
  const chosen = mode === 'nftables' ? nftBackends : iptablesBackends;
  if (chosen.size < families.length) throw new Error('no iptables on this host: install the package "iptables"');
  return {
    mode,
    ...splitByFamily(chosen),
    async cleanOthers() {
      const others = [...(mode === 'nftables' ? iptablesBackends : nftBackends).values()];
      for (const [family, programs] of binaries) {
        const other = await otherVariant(exec, programs);
        if (other !== undefined) others.push(iptablesBackend(other, family, options));
      }
      for (const backend of others) {
        await backend
          .cleanUp()
          .catch((err: unknown) =>
            options.log.warn('rules of another proxy mode could not be removed', { err: describeError(err) }),
          );
      }
    },
    async cleanUp() {
      for (const backend of [...nftBackends.values(), ...iptablesBackends.values()]) await backend.cleanUp();
    },
  };
}

function iptablesBackend(binaries: IptablesBinaries, family: IpFamily, options: BackendOptions): ProxyBackend {
  const { exec, localhostNodePorts } = options;
  const rules = { ...ruleOptions(family, options), randomFully: true, localhostNodePorts };
  return createIptablesBackend({ exec, binaries, rules });
}

function nftBackend(nft: string, family: IpFamily, options: BackendOptions): ProxyBackend {
  return createNftablesBackend({ exec: options.exec, nft, rules: ruleOptions(family, options) });
}

function ruleOptions(family: IpFamily, { clusterCidrs, nodePortRanges }: BackendOptions) {
  const isOfFamily = (range: string) => range.includes(':') === (family === 'IPv6');
  return { family, clusterCidr: clusterCidrs[family]!, nodePortRanges: nodePortRanges?.filter(isOfFamily) };
}

/** Each family has tables of its own. A family without a backend is not programmed. */
function splitByFamily(backends: ReadonlyMap<IpFamily, ProxyBackend>): Omit<ProxyBackend, 'cleanUp'> {
  return {
    async fullSync(plans) {
      for (const [family, backend] of backends) await backend.fullSync(plans.filter((plan) => plan.family === family));
    },
    async partialSync(changes) {
      for (const [family, backend] of backends) {
        const own = changes.filter(({ previous, next }) => (previous ?? next)?.family === family);
        if (own.length > 0) await backend.partialSync(own);
      }
    },
    async isIntact() {
      for (const backend of backends.values()) if (!(await backend.isIntact())) return false;
      return true;
    },
  };
}
