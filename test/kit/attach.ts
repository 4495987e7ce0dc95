import { spawn } from 'node:child_process';
import { waitUntil } from './wait-until.ts';

/** Of a container that says something until `END_TICKER` runs in it: kubectl may take its time to attach. */
export const TICKER = ['sh', '-c', 'while [ ! -e /tmp/end ]; do echo tick; sleep 0.2; done'];
export const END_TICKER = ['touch', '/tmp/end'];

export interface Attaching {
  readonly program: string;
  readonly args: readonly string[];
  /** Called once something has come through: ends the process. */
  readonly end: () => Promise<unknown>;
}

/** Runs kubectl attach to its end. */
export async function attachUntilEnd({
  program,
  args,
  end,
}: Attaching): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk) => (stdout += chunk));
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  try {
    await waitUntil('the first words', 30_000, () => stdout !== '');
    await end();
    return { code: await code, stdout };
  } finally {
    child.kill();
  }
}
