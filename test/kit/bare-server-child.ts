/** The process of `startBareServer`: key, certificate and the bytes of an answer come as arguments, the port goes to stdout. */
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';

const [keyFile = '', certificateFile = '', answerBytes = '0'] = process.argv.slice(2);
const answer = 'x'.repeat(Number(answerBytes));
const server = http2.createSecureServer({
  key: readFileSync(keyFile),
  cert: readFileSync(certificateFile),
  allowHTTP1: true,
});
server.on('request', (request, response) => {
  request.on('data', () => {});
  request.on('end', () => {
    const headers = { 'content-type': 'application/json', 'content-length': String(answer.length) };
    response.writeHead(request.method === 'POST' ? 201 : 200, headers);
    response.end(answer, 'latin1');
  });
});
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
