import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';

/** The thread of a controller that owns the store's file; undefined: there is none. */
export function diskThreadOf(pid: number): number | undefined {
  const threads = readdirSync(`/proc/${pid}/task`);
  return threads.map(Number).find((thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, 'utf8') === 'disk\n');
}

/**
 * Delays every fsync of a running controller's store, by strace on the real calls of its disk thread alone: no other thread is slowed down.
 * Resolves once it does; `stop` ends it, the call that is being delayed included.
 */
export async function slowDownDisk(pid: number, delayMs: number): Promise<{ stop(): Promise<void> }> {
  const thread = diskThreadOf(pid);
  if (thread === undefined) throw new Error(`process ${pid} has no disk thread`);
  const calls = 'fsync,fdatasync';
  const inject = `inject=${calls}:delay_enter=${delayMs * 1000}`;
  const tracer = spawn('strace', ['-e', `trace=${calls}`, '-e', inject, '-o', '/dev/null', '-p', String(thread)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(tracer, 'exit');
  await new Promise<void>((resolve, reject) => {
    let told = '';
    tracer.stderr.setEncoding('utf8').on('data', (text: string) => {
      told += text;
      if (told.includes('attached')) resolve();
    });
    tracer.once('exit', (code) => reject(new Error(`strace ended with ${code}: ${told}`)));
  });
  return {
    async stop() {
      tracer.kill('SIGINT');
      await ended;
    },
  };
}
