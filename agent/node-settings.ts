import { milliCpuOf } from '#api/meta/pod-resources.ts';
import { Quantity, QuantityError } from '#api/meta/quantity.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { AgentConfig } from './config.ts';
import type { FileSystem } from './host/host.ts';
import { DeviceSelectorError, parseDeviceSelector } from './kubelet/devices/device-selector.ts';
import { parseDurationMs, parseThresholds, ThresholdError } from './kubelet/eviction/thresholds.ts';
import { parseCredentialConfig } from './kubelet/images/credential-plugins.ts';
import type { KubeletConfig } from './kubelet/kubelet-config.ts';

type NodeSettings = Pick<
  KubeletConfig,
  'reserved' | 'eviction' | 'imageGc' | 'containerLogs' | 'shutdown' | 'devices' | 'maxParallelPulls'
>;

/** More at once would only fight for the same disk. */
const DEFAULT_PARALLEL_PULLS = 2;

/** What the user says about the health of the node, read. Throws ConfigError naming the key that is wrong. */
export function nodeSettings(config: AgentConfig): NodeSettings {
  if (config.imageGcLowThresholdPercent >= config.imageGcHighThresholdPercent)
    throw new ConfigError('imageGcLowThresholdPercent must be less than imageGcHighThresholdPercent');
  if (config.cpuManagerPolicy === 'static' && of('reservedCpu', () => milliCpuOf({ cpu: config.reservedCpu })) === 0)
    throw new ConfigError('cpuManagerPolicy static needs a reservedCpu greater than 0 for what shares CPUs');
  return {
    reserved: {
      milliCpu: of('reservedCpu', () => milliCpuOf({ cpu: config.reservedCpu })),
      memoryBytes: of('reservedMemory', () => Quantity.parse(config.reservedMemory).value()),
    },
    eviction: {
      thresholds: of('evictionHard, evictionSoft', () =>
        parseThresholds({
          hard: config.evictionHard,
          soft: config.evictionSoft,
          softGracePeriod: config.evictionSoftGracePeriod,
          minimumReclaim: config.evictionMinimumReclaim,
        }),
      ),
      maxPodGraceSeconds: config.evictionMaxPodGracePeriod,
      transitionMs: of('evictionPressureTransitionPeriod', () =>
        parseDurationMs(config.evictionPressureTransitionPeriod),
      ),
    },
    imageGc: {
      highPercent: config.imageGcHighThresholdPercent,
      lowPercent: config.imageGcLowThresholdPercent,
      minAgeMs: of('imageMinimumGcAge', () => parseDurationMs(config.imageMinimumGcAge)),
    },
    maxParallelPulls: parallelPullsOf(config),
    shutdown: shutdownOf(config),
    devices: of('devices', () => config.devices.map(parseDeviceSelector)),
    containerLogs: {
      maxBytes: of('containerLogMaxSize', () => Quantity.parse(config.containerLogMaxSize).value()),
      maxFiles: config.containerLogMaxFiles,
    },
  };
}

function parallelPullsOf({ serializeImagePulls, maxParallelImagePulls }: AgentConfig): number {
  if (serializeImagePulls && maxParallelImagePulls > 1)
    throw new ConfigError('maxParallelImagePulls cannot be larger than 1 unless serializeImagePulls is false');
  return maxParallelImagePulls || (serializeImagePulls ? 1 : DEFAULT_PARALLEL_PULLS);
}

function shutdownOf(config: AgentConfig): NodeSettings['shutdown'] {
  const seconds = (key: 'shutdownGracePeriod' | 'shutdownGracePeriodCriticalPods') =>
    Math.ceil(of(key, () => parseDurationMs(config[key])) / 1000);
  const graceSeconds = seconds('shutdownGracePeriod');
  const criticalSeconds = Math.min(graceSeconds, seconds('shutdownGracePeriodCriticalPods'));
  return { graceSeconds, criticalSeconds };
}

function of<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (err) {
    if (err instanceof DeviceSelectorError || err instanceof ThresholdError || err instanceof QuantityError)
      throw new ConfigError(`${key}: ${err.message}`, { cause: err });
    throw err;
  }
}

/** Throws ConfigError where the file is missing or cannot be used. */
export async function readCredentialProviders(path: string, fs: Pick<FileSystem, 'readBytes'>) {
  if (path === '') return [];
  const { decodeYaml } = await import('#api/codec/decode-yaml.ts');
  try {
    return parseCredentialConfig(decodeYaml(await fs.readBytes(path)).value);
  } catch (err) {
    throw new ConfigError(`imageCredentialProviderConfig: ${path}: ${describeError(err)}`, { cause: err });
  }
}
