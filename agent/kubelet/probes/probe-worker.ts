import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IProbe } from 'kubernetes-models/v1/Probe';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import { type ContainerRuntime, CriError } from '../../cri/runtime.ts';
import type { ProbeResult, Prober } from '../prober.ts';
import { resolvePort } from './probe-target.ts';

export type ProbeKind = 'readiness' | 'liveness' | 'startup';

export type ProbeOutcome = 'successful' | 'failed' | 'unknown';

export interface ProbeTarget {
  readonly kind: ProbeKind;
  readonly probe: IProbe;
  readonly container: IContainer;
  readonly containerId: string;
  readonly podIp: string;
  readonly startedAtMs: number;
}

export interface ProbeDeps {
  readonly clock: Clock;
  readonly random: () => number;
  readonly prober: Prober;
  readonly runtime: ContainerRuntime;
}

export interface ProbeListener {
  /** The verdict turned over: thresholds were reached. */
  onVerdict(ok: boolean): void;
  onFailure(message: string): void;
  /** It could not be asked at all, which says nothing of the container. */
  onError(message: string): void;
  onResult(result: ProbeOutcome): void;
  /** False while the probe has to hold still (startup has not passed, container is being stopped). */
  isDue(): boolean;
}

const DEFAULTS = { periodSeconds: 10, timeoutSeconds: 1, failureThreshold: 3, successThreshold: 1 } as const;

/** Looks at one container again and again until stopped. */
export class ProbeWorker {
  readonly #target: ProbeTarget;
  readonly #deps: ProbeDeps;
  readonly #listener: ProbeListener;
  #verdict: boolean | undefined;
  #streak = { ok: true, count: 0 };
  #cancel: (() => void) | undefined;
  #isStopped = false;

  /** `initial` is the verdict until thresholds are reached. */
  constructor(target: ProbeTarget, deps: ProbeDeps, listener: ProbeListener, initial: boolean | undefined) {
    this.#target = target;
    this.#deps = deps;
    this.#listener = listener;
    this.#verdict = initial;
  }

  start(): void {
    const { clock } = this.#deps;
    const delayMs = (this.#target.probe.initialDelaySeconds ?? 0) * 1000;
    const leftMs = this.#target.startedAtMs + delayMs - clock.now();
    // A start of tomorrow was noted before the clock was set.
    this.#schedule(Math.min(Math.max(0, leftMs), delayMs));
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancel?.();
  }

  /** Look now rather than at the end of the period: something that this probe waited for has happened. */
  hurry(): void {
    if (this.#isStopped || this.#streak.count > 0) return;
    this.#cancel?.();
    this.start();
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#cancel = this.#deps.clock.after(delayMs, () => {
      void this.#look().finally(() =>
        this.#schedule((this.#target.probe.periodSeconds ?? DEFAULTS.periodSeconds) * 1000),
      );
    });
  }

  async #look(): Promise<void> {
    if (!this.#listener.isDue()) return;
    const result = await this.#run().catch((err: unknown) => describeError(err));
    this.#listener.onResult(typeof result === 'string' ? 'unknown' : result.ok ? 'successful' : 'failed');
    if (this.#isStopped || !this.#listener.isDue()) return;
    if (typeof result === 'string') {
      this.#listener.onError(result);
      return;
    }
    if (!result.ok) this.#listener.onFailure(result.message);
    this.#count(result.ok);
  }

  #count(ok: boolean): void {
    const { probe } = this.#target;
    this.#streak = { ok, count: this.#streak.ok === ok ? this.#streak.count + 1 : 1 };
    const threshold = ok
      ? (probe.successThreshold ?? DEFAULTS.successThreshold)
      : (probe.failureThreshold ?? DEFAULTS.failureThreshold);
    if (this.#streak.count < threshold || this.#verdict === ok) return;
    this.#verdict = ok;
    // Its container is to be restarted: the next one has probes of its own.
    if (!ok && this.#target.kind !== 'readiness') this.stop();
    this.#listener.onVerdict(ok);
  }

  /** Throws where there is nothing to ask: a port of an unknown name, a program that the container does not have. */
  async #run(): Promise<ProbeResult> {
    const { probe, container, podIp } = this.#target;
    const timeoutMs = (probe.timeoutSeconds ?? DEFAULTS.timeoutSeconds) * 1000;
    if (probe.exec !== undefined) return this.#exec(probe.exec.command ?? [], timeoutMs);
    if (probe.tcpSocket !== undefined) {
      const { host, port } = probe.tcpSocket;
      return this.#deps.prober.tcp(host || podIp, resolvePort(container, port), timeoutMs);
    }
    if (probe.grpc !== undefined) {
      const { port, service = '' } = probe.grpc;
      return this.#deps.prober.grpc({ host: podIp, port, service, timeoutMs });
    }
    if (probe.httpGet !== undefined) {
      const { scheme, host, port, path = '/', httpHeaders = [] } = probe.httpGet;
      return this.#deps.prober.http({
        scheme: scheme === 'HTTPS' ? 'https' : 'http',
        host: host || podIp,
        port: resolvePort(container, port),
        path,
        headers: httpHeaders.map(({ name, value }) => [name, value] as const),
        timeoutMs,
      });
    }
    throw new Error(`missing probe handler for ${container.name}`);
  }

  async #exec(command: readonly string[], timeoutMs: number): Promise<ProbeResult> {
    const { containerId } = this.#target;
    try {
      const { exitCode, stdout, stderr } = await this.#deps.runtime.execSync(containerId, command, timeoutMs / 1000);
      return { ok: exitCode === 0, message: Buffer.concat([stdout, stderr]).toString('utf8').slice(0, 10_240) };
    } catch (err) {
      if (!isTimeout(err)) throw err;
      return { ok: false, message: `command timed out: "${command.join(' ')}" timed out after ${timeoutMs / 1000}s` };
    }
  }
}

const DEADLINE_EXCEEDED = 4;

const isTimeout = (err: unknown) => err instanceof CriError && err.code === DEADLINE_EXCEEDED;
