// Runs inside a network namespace of a test (namespace-agent.ts starts it): serves and dials as one line of JSON asks, answers with another.
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

const listening = new Map();
const plain = (address) => address.replace(/^::ffff:/, '');
const commands = {
  /** Answers every client with `<name> <address that the client seems to have>`. */
  serve: ({ name, port, host, protocol }) =>
    new Promise((resolve, reject) => {
      if (protocol === 'udp') {
        const socket = createSocket(host?.includes(':') ? 'udp6' : 'udp4');
        socket.on('message', (_, peer) => socket.send(`${name} ${plain(peer.address)}`, peer.port, peer.address));
        socket.once('error', reject).bind(port, host, () => resolve('serving'));
      } else {
        const server = createServer((socket) => {
          socket.on('error', () => {});
          socket.end(`${name} ${plain(socket.remoteAddress ?? '')}`);
        });
        server.once('error', reject).listen(port, host, () => {
          listening.set(`${host} ${port}`, server);
          resolve('serving');
        });
      }
    }),
  /** Takes no further connection there. */
  unserve: ({ port, host }) =>
    new Promise((resolve) => {
      const server = listening.get(`${host} ${port}`);
      listening.delete(`${host} ${port}`);
      if (server === undefined) resolve('silent already');
      else server.close(() => resolve('silent'));
    }),
  /** So many connections a second for so long, each tried once; answers when each was begun and ended (epoch ms), and what came. */
  dialMany: ({ host, port, perSecond, seconds, timeoutMs }) =>
    new Promise((resolve) => {
      const dials = [];
      const startedMs = performance.now();
      const timer = setInterval(() => {
        const due = Math.min(perSecond * seconds, ((performance.now() - startedMs) * perSecond) / 1000);
        while (dials.length < due) {
          const [beganMs, sentMs] = [Date.now(), performance.now()];
          const record = (answer) => ({ beganMs, endedMs: Date.now(), elapsedMs: performance.now() - sentMs, answer });
          dials.push(dialTcp(host, port, timeoutMs).then(record));
        }
        if (dials.length < perSecond * seconds) return;
        clearInterval(timer);
        void Promise.all(dials).then((all) => resolve(JSON.stringify(all)));
      }, 2);
    }),
  dial: ({ host, port, timeoutMs, protocol, localPort }) =>
    protocol === 'udp' ? dialUdp(host, port, timeoutMs, localPort) : dialTcp(host, port, timeoutMs),
};

/**
 * Time that this process had: a machine that stands still for half a second has kept no packet waiting, and must not be taken for a wall.
 * Answers what takes it back.
 */
function afterOwnTime(timeoutMs, then) {
  const tickMs = 10;
  let left = Math.ceil(timeoutMs / tickMs);
  const timer = setInterval(() => {
    if (--left > 0) return;
    clearInterval(timer);
    then();
  }, tickMs);
  return () => clearInterval(timer);
}

function dialTcp(host, port, timeoutMs) {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let text = '';
    const finish = (answer) => {
      stopWaiting();
      socket.destroy();
      resolve(answer);
    };
    const stopWaiting = afterOwnTime(timeoutMs, () => finish('timeout'));
    socket.on('data', (chunk) => (text += chunk));
    socket.on('end', () => finish(text));
    socket.on('error', (err) => finish(err.code === 'ECONNREFUSED' ? 'refused' : (err.code ?? 'error')));
  });
}

function dialUdp(host, port, timeoutMs, localPort) {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    let done = false;
    const finish = (answer) => {
      if (done) return;
      done = true;
      stopWaiting();
      socket.close();
      resolve(answer);
    };
    const stopWaiting = afterOwnTime(timeoutMs, () => finish('timeout'));
    socket.on('message', (data) => finish(String(data)));
    socket.on('error', (err) => finish(err.code === 'ECONNREFUSED' ? 'refused' : (err.code ?? 'error')));
    socket.bind(localPort ?? 0, () =>
      socket.connect(port, host, (err) =>
        err === undefined || err === null ? socket.send('?') : finish(err.code ?? 'error'),
      ),
    );
  });
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { id, command, ...options } = JSON.parse(line);
    commands[command](options).then(
      (answer) => console.log(JSON.stringify({ id, answer })),
      (err) => console.log(JSON.stringify({ id, error: String(err) })),
    );
  })
  .on('close', () => process.exit(0));
