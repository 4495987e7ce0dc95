import type { Host, HostFacts } from '../../host/host.ts';
import type { KubeletConfig } from '../kubelet-config.ts';
import type { ResourceRules } from './linux-resources.ts';

const HUGEPAGES_DIR = '/sys/kernel/mm/hugepages';

/** What this kernel can enforce of what containers may use. Read once: it changes with a boot. */
export async function readResourceRules(
  { host, config }: { readonly host: Host; readonly config: KubeletConfig },
  { memoryBytes, swapBytes }: HostFacts,
  allocatableBytes: () => number,
): Promise<ResourceRules> {
  const { version, controllers } = await host.cgroups();
  const hasMemoryLimits = controllers.includes('memory');
  const canRule = version === 2 && hasMemoryLimits;
  const { throttlingFactor, isReserved } = config.memoryQos;
  const asksForQos = throttlingFactor !== undefined || isReserved;
  return {
    nodeMemoryBytes: memoryBytes,
    cgroupVersion: version,
    hasMemoryLimits,
    hugePageSizes: controllers.includes('hugetlb') ? await readHugePageSizes(host) : [],
    swap: canRule && swapBytes > 0 ? { behavior: config.swapBehavior, nodeSwapBytes: swapBytes } : undefined,
    memoryQos: canRule && asksForQos ? { throttlingFactor, isReserved, allocatableBytes } : undefined,
    singleProcessOomKill: config.singleProcessOomKill,
  };
}

/** `hugepages-2048kB` is called `2MB` in the names of files. */
async function readHugePageSizes({ fs }: Host): Promise<string[]> {
  const sizes = (await fs.list(HUGEPAGES_DIR)).flatMap((name) => /^hugepages-(\d+)kB$/.exec(name)?.[1] ?? []);
  return sizes
    .map(Number)
    .map((kib) => (kib >= 2 ** 20 ? `${kib / 2 ** 20}GB` : kib >= 1024 ? `${kib / 1024}MB` : `${kib}KB`));
}
