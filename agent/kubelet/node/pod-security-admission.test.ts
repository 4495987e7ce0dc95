import { expect, test } from 'vitest';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { refuseIsolation } from './pod-security-admission.ts';

const abilities = {
  features: { supplementalGroupsPolicy: false, handlers: [] },
  hasAppArmor: false,
  allowedUnsafeSysctls: ['kernel.msg*'],
};
const sysctl = (name: string, spec: Parameters<typeof podWith>[0] = {}) =>
  podWith({ ...spec, securityContext: { sysctls: [{ name, value: '1' }] } });
const profile = { appArmorProfile: { type: 'RuntimeDefault' as const } };

test.each([
  ['a safe sysctl', sysctl('net.ipv4.tcp_syncookies'), undefined],
  ['one that the node allows', sysctl('kernel.msgmax'), undefined],
  ['one written with slashes', sysctl('net/ipv4/tcp_syncookies'), undefined],
  ['another one', sysctl('vm.swappiness'), 'forbidden sysctl: "vm.swappiness" not allowlisted'],
  [
    "the host's network",
    sysctl('net.ipv4.tcp_syncookies', { hostNetwork: true }),
    'forbidden sysctl: "net.ipv4.tcp_syncookies" not allowed with host net enabled',
  ],
  [
    "the host's messages",
    sysctl('kernel.msgmax', { hostIPC: true }),
    'forbidden sysctl: "kernel.msgmax" not allowed with host ipc enabled',
  ],
  [
    'a profile of AppArmor',
    podWith({ securityContext: profile }),
    'Cannot enforce AppArmor: AppArmor is not enabled on the host',
  ],
  [
    'a profile for a privileged container only',
    podWith({ containers: [container('app', { securityContext: { ...profile, privileged: true } })] }),
    undefined,
  ],
  [
    'strict groups',
    podWith({ securityContext: { supplementalGroupsPolicy: 'Strict' } }),
    'SupplementalGroupsPolicy=Strict is not supported in this node',
  ],
])('a pod with %s', (_name, pod, message) => {
  expect(refuseIsolation(pod, abilities)?.message).toBe(message && `Pod was rejected: ${message}`);
});

test('a node that can do it takes it', () => {
  const able = { ...abilities, hasAppArmor: true, features: { supplementalGroupsPolicy: true, handlers: [] } };
  const pod = podWith({ securityContext: { ...profile, supplementalGroupsPolicy: 'Strict' } });
  expect(refuseIsolation(pod, able)).toBeUndefined();
});
