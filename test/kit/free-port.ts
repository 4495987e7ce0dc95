import { createServer } from 'node:net';

/**
 * Below what kernels give away as the source of a connection, which may have it by the time that a server wants it, and below the ports of
 * Services.
 */
const FIRST = 12_000;
const PAST_LAST = 30_000;

/** A port of loopback that nobody listens on now, drawn so that two who ask at once hardly get the same. */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (PAST_LAST - FIRST));
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (err: NodeJS.ErrnoException) => (err.code === 'EADDRINUSE' ? resolve(false) : reject(err)));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
