import { spawn } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { StringDecoder } from 'node:string_decoder';
import { ExecError, type ExecOptions, type ExecResult, type Executor } from './host.ts';

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Of the output of a program that failed, in characters. */
const MAX_SHOWN = 4096;

/** systemd units and `su` users lack the sbin directories, where iptables, mount and their like live. */
const SEARCH_PATH = [
  ...new Set([
    ...(process.env.PATH ?? '').split(':').filter(Boolean),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
    '/bin',
  ]),
];

const environment = () => ({ ...process.env, PATH: SEARCH_PATH.join(':'), LC_ALL: 'C' });

export function createExecutor(): Executor {
  let leash: Promise<readonly string[]> | undefined;
  return {
    run,
    find,
    async stream(argv, onLine, signal) {
      const [program, ...args] = argv;
      const path = program.includes('/') ? program : await find(program);
      if (path === undefined) throw new ExecError(argv, null, 'no such program');
      leash ??= findLeash();
      return stream([...(await leash), path, ...args], onLine, signal);
    },
  };
}

/**
 * What a command line begins with so that the program ends with us, even where we are killed: it would go on until its next line finds
 * nobody who reads, which on a quiet host is days later. Empty where the host has no such thing.
 */
async function findLeash(): Promise<readonly string[]> {
  const setpriv = await find('setpriv');
  if (setpriv === undefined) return [];
  const leash = [setpriv, '--pdeathsig', 'TERM'] as const;
  // That of busybox has the name and not the option.
  return run([...leash, 'true']).then(
    () => leash,
    () => [],
  );
}

async function find(program: string): Promise<string | undefined> {
  for (const folder of SEARCH_PATH) {
    const path = `${folder}/${program}`;
    const isRunnable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isRunnable) return path;
  }
  return undefined;
}

function run(argv: readonly [string, ...string[]], options: ExecOptions = {}): Promise<ExecResult> {
  const { stdin, timeoutMs = DEFAULT_TIMEOUT_MS, signal, keepLine } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const [program, ...args] = argv;
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], env: environment() });
    let failure: Error | undefined;
    const kill = (reason: Error) => {
      failure ??= reason;
      child.kill('SIGKILL');
    };
    const onOverflow = () => kill(new ExecError(argv, null, `output beyond ${MAX_OUTPUT_BYTES} bytes`));
    const stdout =
      keepLine === undefined ? collect(child.stdout, onOverflow) : collectLines(child.stdout, keepLine, onOverflow);
    const stderr = collect(child.stderr, onOverflow);
    const timer = setTimeout(() => kill(new ExecError(argv, null, `still running after ${timeoutMs} ms`)), timeoutMs);
    const onAbort = () => kill(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    const finish = (exitCode: number | null, cause?: Error) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      if (failure !== undefined) reject(failure);
      else if (cause !== undefined) reject(new ExecError(argv, null, cause.message, { cause }));
      else if (exitCode !== 0)
        reject(new ExecError(argv, exitCode, stderr(), { stdout: stdout().slice(0, MAX_SHOWN) }));
      else resolve({ stdout: stdout(), stderr: stderr() });
    };
    child.once('error', (err) => finish(null, err));
    child.once('close', (exitCode) => finish(exitCode));
    // A program that ends without reading its input closes the pipe; its exit code tells whether that was an error.
    child.stdin.on('error', () => {});
    child.stdin.end(stdin);
  });
}

function collect(source: NodeJS.ReadableStream, onOverflow: () => void): () => string {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  source.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_OUTPUT_BYTES) onOverflow();
    else chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function collectLines(
  source: NodeJS.ReadableStream,
  keepLine: (line: string) => boolean,
  onOverflow: () => void,
): () => string {
  const lines: string[] = [];
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let sizeBytes = 0;
  const take = (line: string) => {
    if (!keepLine(line)) return;
    sizeBytes += line.length;
    if (sizeBytes > MAX_OUTPUT_BYTES) onOverflow();
    else lines.push(line);
  };
  source.on('data', (chunk: Buffer) => {
    const parts = (rest + decoder.write(chunk)).split('\n');
    rest = parts.pop() ?? '';
    for (const line of parts) take(line);
  });
  source.on('end', () => rest !== '' && take(rest));
  return () => lines.map((line) => `${line}\n`).join('');
}

function stream(argv: readonly string[], onLine: (line: string) => void, signal: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      resolve(null);
      return;
    }
    const [program = '', ...args] = argv;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env: environment() });
    createInterface({ input: child.stdout }).on('line', onLine);
    const onAbort = () => child.kill('SIGTERM');
    signal.addEventListener('abort', onAbort, { once: true });
    child.once('error', (cause) => {
      signal.removeEventListener('abort', onAbort);
      reject(new ExecError(argv, null, cause.message, { cause }));
    });
    child.once('close', (exitCode) => {
      signal.removeEventListener('abort', onAbort);
      resolve(exitCode);
    });
  });
}
