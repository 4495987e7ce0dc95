import type { EncryptionOptions } from '#agent/network/paths/path-keeper.ts';

/** A node that was not asked to encrypt, as most are. */
export const UNENCRYPTED: EncryptionOptions = {
  isAsked: false,
  port: 51_820,
  keyPath: '/state/wireguard.key',
  publishKey: async () => {},
};
