import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { DatagramOptions, DatagramSocket } from './host.ts';

export function openDatagrams({ address, port, onMessage }: DatagramOptions): Promise<DatagramSocket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    socket.on('message', onMessage);
    socket.once('error', reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off('error', reject);
      socket.on('error', () => {});
      let isOpen = true;
      resolve({
        port: socket.address().port,
        send: (message, to) => isOpen && socket.send(message, to.port, to.address, () => {}),
        close() {
          isOpen = false;
          socket.close();
        },
      });
    });
  });
}
