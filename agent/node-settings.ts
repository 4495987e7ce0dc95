import { milliCpuOf } from '#api/meta/pod-resources.ts';
import { Quantity, QuantityError } from '#api/meta/quantity.ts';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { AgentConfig } from './config.ts';
import type { FileSystem } from './host/host.ts';
import { DeviceSelectorError, parseDeviceSelector } from './kubelet/devices/device-selector.ts';
import { parseDurationMs, parseThresholds, ThresholdError } from './kubelet/eviction/thresholds.ts';
import { parseCredentialConfig } from './kubelet/images/credential-plugins.ts';
import { ImagePatternError, parseImagePattern, VERIFICATION_POLICIES } from './kubelet/images/verification-policy.ts';
import type { KubeletConfig } from './kubelet/kubelet-config.ts';
import { tiersOf } from './kubelet/shutdown/shutdown-plan.ts';

type NodeSettings = Pick<
  KubeletConfig,
  | 'reserved'
  | 'eviction'
  | 'imageGc'
  | 'containerLogs'
  | 'shutdown'
  | 'devices'
  | 'memoryQos'
  | 'maxParallelPulls'
  | 'imageVerification'
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
      maxAgeMs: of('imageMaximumGcAge', () => parseDurationMs(config.imageMaximumGcAge)),
    },
    maxParallelPulls: parallelPullsOf(config),
    imageVerification: imageVerificationOf(config),
    shutdown: shutdownOf(config),
    memoryQos: {
      throttlingFactor: throttlingFactorOf(config.memoryThrottlingFactor),
      isReserved: config.memoryReservationPolicy === 'TieredReservation',
    },
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

function imageVerificationOf(config: AgentConfig): NodeSettings['imageVerification'] {
  const { imagePullCredentialsVerificationPolicy: policy, preloadedImagesVerificationAllowlist: patterns } = config;
  const kind = VERIFICATION_POLICIES.find((one) => one === policy) ?? 'NeverVerifyPreloadedImages';
  if (patterns.length > 0 && kind !== 'NeverVerifyAllowlistedImages')
    throw new ConfigError(
      'preloadedImagesVerificationAllowlist needs imagePullCredentialsVerificationPolicy NeverVerifyAllowlistedImages',
    );
  return { kind, allowlist: of('preloadedImagesVerificationAllowlist', () => patterns.map(parseImagePattern)) };
}

function throttlingFactorOf(text: string): number | undefined {
  if (text === '') return undefined;
  const factor = Number(text);
  if (!(factor > 0 && factor <= 1))
    throw new ConfigError(
      `memoryThrottlingFactor: ${JSON.stringify(text)} is not a number greater than 0 and at most 1`,
    );
  return factor;
}

function shutdownOf(config: AgentConfig): NodeSettings['shutdown'] {
  if (config.shutdownGracePeriodByPodPriority.length > 0)
    return tiersByPriority(config.shutdownGracePeriodByPodPriority);
  const seconds = (key: 'shutdownGracePeriod' | 'shutdownGracePeriodCriticalPods') => secondsOf(key, config[key]);
  const graceSeconds = seconds('shutdownGracePeriod');
  return graceSeconds === 0
    ? []
    : tiersOf(graceSeconds, Math.min(graceSeconds, seconds('shutdownGracePeriodCriticalPods')));
}

const secondsOf = (key: string, duration: string) => Math.ceil(of(key, () => parseDurationMs(duration)) / 1000);

function tiersByPriority(pairs: readonly string[]): NodeSettings['shutdown'] {
  const key = 'shutdownGracePeriodByPodPriority';
  return pairs.map((pair) => {
    const [, priority, duration] = /^(-?\d+)=(.+)$/.exec(pair) ?? [];
    if (priority === undefined || duration === undefined)
      throw new ConfigError(`${key}: ${JSON.stringify(pair)} is not <priority>=<duration>`);
    return { priority: Number(priority), graceSeconds: secondsOf(key, duration) };
  });
}

function of<T>(key: string, read: () => T): T {
  try {
    return read();
  } catch (err) {
    if (
      err instanceof DeviceSelectorError ||
      err instanceof ThresholdError ||
      err instanceof QuantityError ||
      err instanceof ImagePatternError
    )
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
