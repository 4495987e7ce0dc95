import { expect, it } from 'vitest';
import { renderUpgradeRequest } from './upgrade-request.ts';

it('an upgrade request carries the handshake and nothing else of the caller', () => {
  const raw = ['Host', 'n1', 'Connection', 'Upgrade', 'Upgrade', 'SPDY/3.1', 'Authorization', 'Bearer x'];
  raw.push('X-Stream-Protocol-Version', 'v5.channel.k8s.io', 'X-Stream-Protocol-Version', 'v4.channel.k8s.io');
  expect(renderUpgradeRequest({ method: 'POST', path: '/exec/token?a=b', host: '127.0.0.1:4321' }, raw)).toBe(
    'POST /exec/token?a=b HTTP/1.1\r\nHost: 127.0.0.1:4321\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n' +
      'X-Stream-Protocol-Version: v5.channel.k8s.io\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n',
  );
});
