import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { BackupError } from './backup-error.ts';

/**
 * The way of `coracle backup` into a running controller: HTTP over a Unix socket in the data directory, which only its owner may enter.
 * Whoever may read the CA's key there needs no further leave.
 */
const controlSocketPath = (dataDir: string): string => join(dataDir, 'control.sock');

/** What the kernel takes for the name of a socket (108 bytes with the end). */
const MAX_PATH_BYTES = 107;

export interface ControlActions {
  /** Records of a backup, in clear text. */
  readonly backup: () => AsyncIterable<Uint8Array>;
  readonly rotateSealingKey: () => Promise<void> | void;
}

export interface ControlServer {
  close(): Promise<void>;
}

/** Serves until closed. The data directory is ours: what lies under the name is left over from a process that was killed. */
export async function serveControlSocket(
  dataDir: string,
  { actions, log }: { readonly actions: ControlActions; readonly log: Logger },
): Promise<ControlServer> {
  const path = controlSocketPath(dataDir);
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    log.warn('the path of the data directory is too long for a socket: backups need the controller to be stopped', {
      path,
    });
    return { close: async () => {} };
  }
  await rm(path, { force: true });
  const server = createServer((incoming, response) => {
    void answer(incoming, response, { actions, log });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  await chmod(path, 0o600);
  server.unref();
  return {
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await rm(path, { force: true });
    },
  };
}

async function answer(
  incoming: IncomingMessage,
  response: ServerResponse,
  { actions, log }: { readonly actions: ControlActions; readonly log: Logger },
): Promise<void> {
  const { method, url } = incoming;
  try {
    if (method === 'GET' && url === '/backup') {
      log.info('a backup is being taken', {});
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      await pipeline(Readable.from(actions.backup(), { objectMode: false }), response);
    } else if (method === 'POST' && url === '/rotate-sealing-key') {
      await actions.rotateSealingKey();
      response.writeHead(202).end();
    } else response.writeHead(404).end('there is nothing of this name here\n');
  } catch (err) {
    log.warn('a request over the control socket failed', { url, reason: describeError(err) });
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end(describeError(err));
  }
}

/** The body of the answer; undefined where no controller serves this data directory. Throws BackupError for a refusal. */
export async function askController(
  dataDir: string,
  { method, path }: { readonly method: 'GET' | 'POST'; readonly path: string },
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const response = await new Promise<IncomingMessage | undefined>((resolve, reject) => {
    const outgoing = request({ socketPath: controlSocketPath(dataDir), method, path }, resolve);
    outgoing.on('error', (err: NodeJS.ErrnoException) => {
      if (err.code === 'ENOENT' || err.code === 'ECONNREFUSED' || err.code === 'EINVAL') resolve(undefined);
      else if (err.code === 'EACCES')
        reject(new BackupError(`${dataDir} may not be entered: run this as root`, { cause: err }));
      else reject(new BackupError('the controller does not answer', { cause: err }));
    });
    outgoing.end();
  });
  if (response === undefined || (response.statusCode ?? 500) < 300) return response;
  const text = await response.toArray();
  throw new BackupError(
    `the controller answers: ${Buffer.concat(text as Uint8Array[])
      .toString('utf8')
      .trim()}`,
  );
}
