import { expect, it } from 'vitest';
import type { Lease } from '#api/object/kinds.ts';
import { ADDRESS_ANNOTATION, ServerLiveness } from './server-liveness.ts';

const leaseOf = (name: string, renewTime: string, address: string | undefined = `10.0.0.${name}`): Lease => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name,
    namespace: 'kube-system',
    uid: name,
    resourceVersion: '1',
    creationTimestamp: '',
    ...(address === '' ? {} : { annotations: { [ADDRESS_ANNOTATION]: address } }),
  },
  spec: { renewTime },
});

it('believes in whom it sees first, and then in those that renew', () => {
  const liveness = new ServerLiveness();
  expect(liveness.observe([leaseOf('2', 'a'), leaseOf('1', 'a')], 0).live).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(liveness.observe([leaseOf('2', 'a'), leaseOf('1', 'b')], 14_000).live).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(liveness.observe([leaseOf('2', 'a'), leaseOf('1', 'b')], 15_000).live).toEqual(['10.0.0.1']);
  expect(liveness.observe([leaseOf('2', 'b'), leaseOf('1', 'b')], 16_000).live).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(liveness.observe([leaseOf('2', 'b')], 17_000).live).toEqual(['10.0.0.2']);
});

it('knows no address of a server of another make', () => {
  expect(new ServerLiveness().observe([leaseOf('1', 'a', '')], 0).live).toEqual([]);
});

it('forgets a server after an hour', () => {
  const liveness = new ServerLiveness();
  liveness.observe([leaseOf('1', 'a')], 0);
  expect(liveness.observe([leaseOf('1', 'a')], 3_599_999).forgotten).toEqual([]);
  expect(liveness.observe([leaseOf('1', 'a')], 3_600_000).forgotten).toEqual(['1']);
});
