import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export interface DialOptions {
  readonly protocol?: 'tcp' | 'udp';
  readonly timeoutMs?: number;
  /** Of UDP: the client's own port, so that two calls are one flow. */
  readonly localPort?: number;
}

export interface DialLoad {
  readonly perSecond: number;
  readonly seconds: number;
  readonly timeoutMs: number;
}

/** One connection; times in epoch milliseconds. */
export interface DialRecord {
  readonly beganMs: number;
  readonly endedMs: number;
  /** The same, finer. */
  readonly elapsedMs: number;
  /** As `dial` answers. */
  readonly answer: string;
}

/** A process in a network namespace that serves and dials for a test. */
export interface NamespaceAgent {
  /** Answers every client with `<name> <address that the client seems to have>`. */
  serve(name: string, port: number, options?: { protocol?: 'tcp' | 'udp'; host?: string }): Promise<void>;
  /** What the server said; `refused`, `timeout` or an error code. */
  dial(host: string, port: number, options?: DialOptions): Promise<string>;
  /** Takes no further connection at this address. */
  unserve(port: number, host: string): Promise<void>;
  /** So many connections a second for so long, each tried once. */
  dialMany(host: string, port: number, load: DialLoad): Promise<readonly DialRecord[]>;
  stop(): Promise<void>;
}

/** `enter`: prefix of a command line that runs in the namespace. */
export function startNamespaceAgent(enter: readonly string[]): NamespaceAgent {
  const [program, ...args] = [...enter, process.execPath, join(import.meta.dirname, 'namespace-agent.mjs')];
  const child = spawn(program!, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, { resolve: (answer: string) => void; reject: (err: Error) => void }>();
  let nextId = 0;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { id, answer, error } = JSON.parse(line) as { id: number; answer?: string; error?: string };
    if (error === undefined) waiting.get(id)?.resolve(answer ?? '');
    else waiting.get(id)?.reject(new Error(error));
    waiting.delete(id);
  });
  const ask = (command: string, options: object) =>
    new Promise<string>((resolve, reject) => {
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      child.stdin.write(`${JSON.stringify({ id, command, ...options })}\n`);
    });
  return {
    serve: async (name, port, options = {}) => void (await ask('serve', { name, port, ...options })),
    dial: (host, port, options = {}) => ask('dial', { host, port, timeoutMs: 1_000, ...options }),
    unserve: async (port, host) => void (await ask('unserve', { port, host })),
    dialMany: async (host, port, load) => JSON.parse(await ask('dialMany', { host, port, ...load })) as DialRecord[],
    stop: () =>
      new Promise((resolve) => {
        child.once('exit', () => resolve());
        child.stdin.end();
      }),
  };
}
