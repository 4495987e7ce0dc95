import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readPage } from './read-page.ts';

let server: Server;
let url: string;
let connections = 0;

// As behind a proxy that takes every connection, until the rules of the Service are there: what was connected before stays there.
beforeEach(async () => {
  connections = 0;
  const answers = new WeakMap<object, [code: number, body: string]>();
  server = createServer((request, response) => {
    const [code, body] = answers.get(request.socket) ?? [500, ''];
    response.writeHead(code).end(body);
  });
  server.on('connection', (socket) => answers.set(socket, connections++ === 0 ? [404, 'a proxy'] : [200, 'Hello\n']));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});

afterEach(() => {
  server.closeAllConnections();
  server.close();
});

it('tells of another answer than 200, and leaves the connection that led to it', async () => {
  await expect(readPage(url)).rejects.toThrow('it answers 404: a proxy');
  expect(await readPage(url)).toBe('Hello');
});
