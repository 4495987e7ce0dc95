// Runs inside a network namespace (dns.ts starts it): answers every question as a resolver elsewhere would, or asks and measures.
import { createSocket } from 'node:dgram';
import dnsPacket from 'dns-packet';

const [role, address, port, ...rest] = process.argv.slice(2);

if (role === 'resolver') {
  const socket = createSocket('udp4');
  socket.on('message', (message, peer) => {
    const { id, questions } = dnsPacket.decode(message);
    const answers = [{ type: 'A', name: questions[0].name, ttl: 300, data: '192.0.2.1' }];
    socket.send(dnsPacket.encode({ type: 'response', id, flags: 0x0180, questions, answers }), peer.port, peer.address);
  });
  socket.bind(Number(port), address, () => console.log('ready'));
} else {
  const [rounds, warm, cold] = rest.map(Number);
  console.log(JSON.stringify(await ask(rounds, warm, cold)));
  process.exit();
}

/** One question at a time, each from a port of its own, as programs in pods do. Answers milliseconds; -1: none came within 1 s. */
async function ask(rounds, warm, cold) {
  const timings = [];
  const one = (name) =>
    new Promise((resolve) => {
      const socket = createSocket('udp4');
      const message = dnsPacket.encode({
        type: 'query',
        id: 7,
        flags: 0x0100,
        questions: [{ type: 'A', name, class: 'IN' }],
      });
      const finish = (ms) => {
        clearTimeout(timer);
        socket.close();
        resolve(ms);
      };
      const timer = setTimeout(() => finish(-1), 1_000);
      socket.connect(Number(port), address, () => {
        const startedNs = process.hrtime.bigint();
        socket.on('message', (answer) =>
          finish((answer[3] & 0xf) === 0 ? Number(process.hrtime.bigint() - startedNs) / 1e6 : -1),
        );
        socket.send(message);
      });
      socket.on('error', () => finish(-1));
    });
  for (let i = 0; i < warm; i++) await one(`s${i}.default.svc.cluster.local`);
  for (let round = 0; round < rounds; round++)
    for (let i = 0; i < Math.max(warm, cold); i++) {
      if (i < warm) timings.push(await one(`s${i}.default.svc.cluster.local`));
      if (i < cold) timings.push(await one(`cold-${round}-${i}.example`));
    }
  return timings;
}
