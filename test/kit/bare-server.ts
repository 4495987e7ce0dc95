import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { ControllerProcess } from './controller-process.ts';

/** Node's own server with nothing behind it: what of a request's cost is not ours. */
export interface BareServer {
  readonly url: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Of a ConfigMap of 512 bytes, as it is answered. */
const ANSWER_BYTES = 900;

/** It reads each body and answers with as many bytes as `controller` would, under its certificate; `core` as for that. */
export async function startBareServer(controller: ControllerProcess, core?: number): Promise<BareServer> {
  const pki = join(controller.folder, 'data', 'pki');
  const [program = '', ...args] = [
    ...(core === undefined ? [] : ['taskset', '-c', String(core)]),
    process.execPath,
    '--max-semi-space-size=16',
    join(import.meta.dirname, 'bare-server-child.ts'),
    ...[join(pki, 'apiserver.key'), join(pki, 'apiserver.crt'), String(ANSWER_BYTES)],
  ];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [port] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('the bare server ended'))),
  ]);
  return {
    url: `https://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
}
