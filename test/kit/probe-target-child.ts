import { existsSync, readFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttp2, type ServerHttp2Stream } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp, type Server } from 'node:net';

/*
 * A container that every kind of probe can ask: http 8080, https 8443, gRPC health 50051, tcp 9090. `/state/ill` makes it ill.
 */

const SERVING = 1;
const NOT_SERVING = 2;
const isIll = () => existsSync('/state/ill');

const web: Parameters<typeof createHttp>[1] = (_request, response) => {
  response.statusCode = isIll() ? 503 : 200;
  response.end();
};
createHttp(web).listen(8080);
createHttps({ cert: readFileSync('/tls/tls.crt'), key: readFileSync('/tls/tls.key') }, web).listen(8443);

const health = createHttp2();
health.on('stream', (stream: ServerHttp2Stream) => {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.end(Buffer.from([0, 0, 0, 0, 2, 0x08, isIll() ? NOT_SERVING : SERVING]));
});
health.listen(50_051);

/** Nobody listens while it is ill. */
let listening: Server | undefined;
setInterval(() => {
  if (isIll()) {
    listening?.close();
    listening = undefined;
  } else listening ??= createTcp((socket) => socket.destroy()).listen(9090);
}, 100);

process.on('SIGTERM', () => process.exit(0));
