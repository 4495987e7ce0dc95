import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Secret, ServiceAccount } from '#api/object/kinds.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import { planTokenSecret } from './fill-token-secrets.ts';
import { createLegacyTokenVerifier, mintLegacyToken } from './legacy-token.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { privateKey, publicKey: createPublicKey(privateKey), keyId: 'k1' };
const account = { metadata: { name: 'sa', namespace: 'n', uid: 'u1' } } as ServiceAccount;
const base64 = (text: string) => Buffer.from(text).toString('base64');

let seeded: SeededStore;
let token: string;

const putSecret = (data: object, metadata: object = {}) =>
  seeded.put('/registry/secrets/n/s', { metadata: { name: 's', namespace: 'n', ...metadata }, data });

beforeEach(async () => {
  seeded = new SeededStore();
  token = mintLegacyToken(account, 's', key);
  await seeded.put('/registry/serviceaccounts/n/sa', account as never);
  await putSecret({ token: base64(token) });
});

const verify = (audiences?: string[]) =>
  createLegacyTokenVerifier({ store: seeded.store, key, audiences: ['api'] }).verify(token, audiences);

describe('a token that lives in a Secret', () => {
  it('speaks for its account, to the API server', () => {
    expect(verify()).toEqual({
      user: {
        name: 'system:serviceaccount:n:sa',
        uid: 'u1',
        groups: ['system:serviceaccounts', 'system:serviceaccounts:n', 'system:authenticated'],
      },
      audiences: ['api'],
    });
  });

  it.each<[string, () => Promise<unknown> | undefined]>([
    ['its Secret is gone', () => seeded.remove('/registry/secrets/n/s')],
    ['its Secret holds another', () => putSecret({ token: base64('other') })],
    ['its Secret is going', () => putSecret({ token: base64(token) }, { deletionTimestamp: '2026-01-01T00:00:00Z' })],
    [
      'it was declared invalid',
      () =>
        putSecret({ token: base64(token) }, { labels: { 'kubernetes.io/legacy-token-invalid-since': '2026-01-01' } }),
    ],
    ['its account is gone', () => seeded.remove('/registry/serviceaccounts/n/sa')],
    [
      'its account is another of that name',
      () => seeded.put('/registry/serviceaccounts/n/sa', { metadata: { name: 'sa', namespace: 'n', uid: 'u2' } }),
    ],
    [
      'somebody else signed it',
      () => {
        const { privateKey: other } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        token = mintLegacyToken(account, 's', { privateKey: other, keyId: 'k1' });
        return putSecret({ token: base64(token) });
      },
    ],
  ])('does not hold when %s', async (_, change) => {
    await change();
    expect(() => verify()).toThrow(expect.objectContaining({ code: 401 }));
  });

  it('is for no other audience', () => {
    expect(() => verify(['vault'])).toThrow(expect.objectContaining({ code: 401 }));
  });
});

describe('the Secret of a token', () => {
  const secret = (part: object = {}) =>
    ({ metadata: { name: 's', namespace: 'n', annotations: {} }, type: 't', ...part }) as unknown as Secret;

  it('is filled with token, CA and namespace, and left alone once it is', () => {
    const filled = planTokenSecret(secret(), account, { key, ca: 'CA' });
    expect(filled?.metadata.annotations).toEqual({ 'kubernetes.io/service-account.uid': 'u1' });
    expect(Object.keys(filled?.data ?? {}).sort()).toEqual(['ca.crt', 'namespace', 'token']);
    expect(planTokenSecret(filled as Secret, account, { key, ca: 'CA' })).toBeUndefined();
  });

  it('keeps its token when the CA changes', () => {
    const before = planTokenSecret(secret(), account, { key, ca: 'CA' }) as Secret;
    const after = planTokenSecret(before, account, { key, ca: 'NEW' });
    expect(after?.data).toEqual({ ...before.data, 'ca.crt': base64('NEW') });
  });
});
