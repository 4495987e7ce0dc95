import type { IContainer } from 'kubernetes-models/v1/Container';
import type { ILifecycleHandler } from 'kubernetes-models/v1/LifecycleHandler';
import { type Clock, delay } from '#base/clock.ts';
import type { ContainerRuntime } from '../cri/runtime.ts';
import type { Prober } from './prober.ts';
import { resolvePort } from './probes/probe-target.ts';

export interface HookContext {
  readonly container: IContainer;
  readonly containerId: string;
  readonly podIp: string | undefined;
  /** Of commands and requests; 0 = no limit. */
  readonly timeoutSeconds: number;
}

/** Longer than anybody waits for an answer; the end of the container ends the request too. */
const UNLIMITED_MS = 86_400_000;

/** A hook ran and failed. */
class HookError extends Error {
  override readonly name = 'HookError';
}

export interface HookDeps {
  readonly runtime: ContainerRuntime;
  readonly prober: Prober;
  readonly clock: Clock;
}

/** Runs a postStart or preStop handler; throws HookError. The caller bounds the time. */
export async function runHook(
  { runtime, prober, clock }: HookDeps,
  handler: ILifecycleHandler,
  { container, containerId, podIp, timeoutSeconds }: HookContext,
): Promise<void> {
  if (handler.exec !== undefined) {
    const { exitCode, stdout, stderr } = await runtime.execSync(
      containerId,
      handler.exec.command ?? [],
      timeoutSeconds,
    );
    if (exitCode === 0) return;
    const output = Buffer.concat([stdout, stderr]).toString('utf8').slice(0, 1024);
    throw new HookError(`command '${(handler.exec.command ?? []).join(' ')}' exited with ${exitCode}: ${output}`);
  }
  if (handler.sleep !== undefined) {
    await delay(clock, handler.sleep.seconds * 1000);
    return;
  }
  if (handler.httpGet !== undefined) {
    const { scheme, host, port, path = '/', httpHeaders = [] } = handler.httpGet;
    const result = await prober.http({
      scheme: scheme === 'HTTPS' ? 'https' : 'http',
      host: host || (podIp ?? ''),
      port: resolvePort(container, port),
      path,
      headers: httpHeaders.map(({ name, value }) => [name, value] as const),
      timeoutMs: timeoutSeconds === 0 ? UNLIMITED_MS : timeoutSeconds * 1000,
    });
    if (!result.ok) throw new HookError(result.message);
  }
}
