import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { type Attack, attacksAs } from './attacks.ts';

/**
 * A process that does harm over loopback until it is ended. Arguments: name of the attack, port, file with the CA; in the environment
 * the TOKEN for attacks from within. Says `attacking` once the first connection stands, and at SIGTERM what it did.
 */

const [name = '', port = '', caFile = ''] = process.argv.slice(2);
const ca = readFileSync(caFile);
const attack: Attack | undefined = Object.entries(attacksAs(process.env.TOKEN ?? '')).find(
  ([one]) => one === name,
)?.[1];
if (attack === undefined) throw new Error(`no attack is named ${name}`);
const done = { connections: 0, closed: 0, bytes: 0 };

function connect({ alpn, opening, piece, pauseMs, isDeaf }: Attack): void {
  const socket = tls.connect({
    host: '127.0.0.1',
    // Another address than those have whom it should not harm.
    localAddress: '127.0.0.66',
    port: Number(port),
    ca,
    ALPNProtocols: [alpn],
  } as tls.ConnectionOptions);
  let timer: NodeJS.Timeout | undefined;
  let round = 0;
  const send = () => {
    if (socket.writableNeedDrain) return;
    const bytes = piece(round++);
    done.bytes += bytes.length;
    socket.write(bytes);
  };
  socket.once('secureConnect', () => {
    if (done.connections++ === 0) process.stdout.write('attacking\n');
    if (opening !== undefined) socket.write(opening);
    timer = setInterval(send, pauseMs);
    send();
  });
  if (isDeaf !== true) socket.resume();
  // To be hung up on is what this is about; the next connection follows.
  socket.on('error', () => {});
  socket.once('close', () => {
    done.closed++;
    clearInterval(timer);
    setTimeout(() => connect(attack as Attack), pauseMs);
  });
}

for (let i = 0; i < attack.connections; i++) connect(attack);
process.once('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(done)}\n`, () => process.exit(0));
});
