import type { IpFamily } from '#api/meta/ip-address.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { Executor } from '../host/host.ts';
import { createIptablesBackend } from './iptables/iptables-backend.ts';
import { chooseIptables, type IptablesBinaries, otherVariant } from './iptables/iptables-binaries.ts';
import { findIptablesLack, findNftablesLack, type KernelLack } from './kernel-needs.ts';
import { createNftablesBackend } from './nftables/nftables-backend.ts';
import type { ProxyBackend } from './proxy-backend.ts';

export type ProxyMode = 'iptables' | 'nftables';

export interface BackendOptions {
  readonly exec: Executor;
  readonly log: Logger;
  /** One range of pod addresses per family that this cluster has. */
  readonly clusterCidrs: Readonly<Partial<Record<IpFamily, string>>>;
  /** Of this node; absent: none is known. */
  readonly nodeIps?: readonly string[];
  /** Undefined: every address of the node. */
  readonly nodePortRanges: readonly string[] | undefined;
  readonly localhostNodePorts: boolean;
}

export interface ChosenBackend extends ProxyBackend {
  readonly mode: ProxyMode;
  /** What this kernel refuses of what the backend asks of it, and which one it would take instead. Asks the kernel; leaves nothing there. */
  findLacks(): Promise<BackendLacks>;
  /** Removes what an earlier agent left through the other backend, and through the other variant of iptables. Call after a full sync. */
  cleanOthers(): Promise<void>;
}

export interface BackendLacks {
  readonly mode: ProxyMode;
  /** Empty: the kernel takes all of it. */
  readonly lacks: readonly KernelLack[];
  /** Undefined: the other one lacks something too, or its program. */
  readonly otherMode: ProxyMode | undefined;
}

/**
 * `auto` takes iptables where the host has it: firewalls that drop forwarded packets (Docker, ufw) can only be passed in their own tables.
 * And nftables where the kernel takes its rules alone. Throws a plain Error that names the missing package.
 */
export async function chooseBackend(wanted: 'auto' | ProxyMode, options: BackendOptions): Promise<ChosenBackend> {
  const { exec } = options;
  const hasIptables = (await exec.find('iptables')) !== undefined;
  const nft = await exec.find('nft');
  const families = (['IPv4', 'IPv6'] as const).filter((family) => options.clusterCidrs[family] !== undefined);
  const binaries = new Map<IpFamily, IptablesBinaries>();
  if (hasIptables) for (const family of families) binaries.set(family, await chooseIptables(exec, family));
  const programs = { exec, families, binaries, nft };
  const mode = wanted === 'auto' ? await suitableMode(programs, options.log) : wanted;
  if (mode === 'nftables' && nft === undefined) throw new Error('no nft on this host: install the package "nftables"');
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
    async findLacks() {
      const lacks = await findLacks(mode, programs);
      const other = mode === 'nftables' ? 'iptables' : 'nftables';
      const isOtherUsable = lacks.length > 0 && has(other, programs) && (await findLacks(other, programs)).length === 0;
      return { mode, lacks, otherMode: isOtherUsable ? other : undefined };
    },
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

interface Programs {
  readonly exec: Executor;
  readonly families: readonly IpFamily[];
  /** Empty: there is no iptables. */
  readonly binaries: ReadonlyMap<IpFamily, IptablesBinaries>;
  readonly nft: string | undefined;
}

const has = (mode: ProxyMode, { binaries, nft }: Programs): boolean =>
  mode === 'nftables' ? nft !== undefined : binaries.size > 0;

async function suitableMode(programs: Programs, log: Logger): Promise<ProxyMode> {
  if (!has('iptables', programs)) return 'nftables';
  if (!has('nftables', programs)) return 'iptables';
  const lacks = await findLacks('iptables', programs);
  if (lacks.length === 0 || (await findLacks('nftables', programs)).length > 0) return 'iptables';
  log.warn('the kernel lacks what iptables needs; Services are programmed through nftables', {
    lacks: lacks.flatMap(({ needs }) => needs.map(({ feature, option }) => `${feature} (${option})`)),
    said: lacks[0]?.said,
  });
  return 'nftables';
}

async function findLacks(mode: ProxyMode, { exec, families, binaries, nft }: Programs): Promise<KernelLack[]> {
  const found: KernelLack[] = [];
  for (const family of families) {
    const own = binaries.get(family);
    const lack =
      mode === 'nftables'
        ? nft === undefined
          ? undefined
          : await findNftablesLack(exec, nft, family)
        : own === undefined
          ? undefined
          : await findIptablesLack(exec, own, family);
    if (lack !== undefined) found.push(lack);
  }
  return found;
}

function iptablesBackend(binaries: IptablesBinaries, family: IpFamily, options: BackendOptions): ProxyBackend {
  const { exec, localhostNodePorts } = options;
  const rules = { ...ruleOptions(family, options), randomFully: true, localhostNodePorts };
  return createIptablesBackend({ exec, binaries, rules });
}

function nftBackend(nft: string, family: IpFamily, options: BackendOptions): ProxyBackend {
  return createNftablesBackend({ exec: options.exec, nft, rules: ruleOptions(family, options) });
}

function ruleOptions(family: IpFamily, { clusterCidrs, nodeIps = [], nodePortRanges }: BackendOptions) {
  const isOfFamily = (range: string) => range.includes(':') === (family === 'IPv6');
  return {
    ...{ family, clusterCidr: clusterCidrs[family]! },
    ...{ nodeIps: nodeIps.filter(isOfFamily), nodePortRanges: nodePortRanges?.filter(isOfFamily) },
  };
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
