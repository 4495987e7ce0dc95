import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { createAuthenticateFilter } from '../chain/filters/authenticate.ts';
import { SecurityMetrics } from '../metrics/security-metrics.ts';
import { fakeContext, fakeRequest } from '../testing/fake-request.ts';
import { SeededStore } from '../testing/seeded-store.ts';
import { createBearerTokenAuthenticator, type PromptTokenVerifier } from './bearer-token.ts';
import { bootstrapTokenSecret, createBootstrapTokenVerifier, generateBootstrapToken } from './bootstrap-token.ts';
import { createClientCertificateAuthenticator } from './client-certificate.ts';
import { createComponentAuthenticator } from './component.ts';
import { createServiceAccountTokenVerifier } from './service-account-token.ts';
import { createTokenIssuer, renderJsonWebKeySet, SERVICE_ACCOUNT_ISSUER } from './token-issuer.ts';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const key = { privateKey, publicKey: createPublicKey(privateKey), keyId: 'k1' };
const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherKey = { privateKey: other.privateKey, publicKey: other.publicKey, keyId: 'k1' };

let clock: FakeClock;
let seeded: SeededStore;
let verifier: PromptTokenVerifier;

beforeEach(async () => {
  clock = new FakeClock();
  seeded = new SeededStore();
  verifier = createServiceAccountTokenVerifier({ store: seeded.store, key, clock });
  await seeded.put('/registry/serviceaccounts/n/sa', { metadata: { name: 'sa', namespace: 'n', uid: 'u1' } });
  await seeded.put('/registry/pods/n/p', { metadata: { name: 'p', namespace: 'n', uid: 'pu' } });
});

const pod = { kind: 'Pod', apiVersion: 'v1', name: 'p', uid: 'pu', nodeName: 'node-a', nodeUid: 'nu' };
const claims = (changes = {}) => ({
  namespace: 'n',
  serviceAccount: { name: 'sa', uid: 'u1' },
  boundObject: pod,
  audiences: [],
  expirationSeconds: 3600,
  ...changes,
});
const issue = async (changes = {}) => (await createTokenIssuer({ key, clock }).issue(claims(changes))).token;
const is401 = { code: 401 };

describe('ServiceAccount tokens', () => {
  it('carry who, which pod and which node, as Kubernetes spells it', async () => {
    const verified = verifier.verify(await issue());
    expect(verified?.audiences).toEqual([SERVICE_ACCOUNT_ISSUER]);
    expect(verified?.user).toEqual({
      name: 'system:serviceaccount:n:sa',
      uid: 'u1',
      groups: ['system:serviceaccounts', 'system:serviceaccounts:n', 'system:authenticated'],
      extra: {
        'authentication.kubernetes.io/credential-id': [expect.stringMatching(/^JTI=/)],
        'authentication.kubernetes.io/node-name': ['node-a'],
        'authentication.kubernetes.io/node-uid': ['nu'],
        'authentication.kubernetes.io/pod-name': ['p'],
        'authentication.kubernetes.io/pod-uid': ['pu'],
      },
    });
  });

  it('are accepted by another implementation with our published keys', async () => {
    const keys = createLocalJWKSet(JSON.parse(renderJsonWebKeySet(key)));
    const token = await issue({ audiences: ['vault'] });
    const currentDate = new Date(clock.now());
    const { payload } = await jwtVerify(token, keys, {
      issuer: SERVICE_ACCOUNT_ISSUER,
      audience: 'vault',
      currentDate,
    });
    expect(payload.sub).toBe('system:serviceaccount:n:sa');
  });

  it('end with their pod, their account and their time', async () => {
    const token = await issue();
    const answers = () => {
      try {
        return verifier.verify(token)?.user.name;
      } catch (err) {
        return (err as { code: number }).code;
      }
    };
    expect(answers()).toBe('system:serviceaccount:n:sa');
    await seeded.put('/registry/pods/n/p', { metadata: { name: 'p', namespace: 'n', uid: 'reborn' } });
    expect(answers()).toBe(401);
    const deletionTimestamp = new Date(clock.now()).toISOString();
    await seeded.put('/registry/pods/n/p', { metadata: { name: 'p', namespace: 'n', uid: 'pu', deletionTimestamp } });
    expect(answers()).toBe('system:serviceaccount:n:sa');
    clock.jump(61_000);
    expect(answers()).toBe(401);
    await seeded.put('/registry/pods/n/p', { metadata: { name: 'p', namespace: 'n', uid: 'pu' } });
    expect(answers()).toBe('system:serviceaccount:n:sa');
    await seeded.remove('/registry/serviceaccounts/n/sa');
    expect(answers()).toBe(401);
    await seeded.put('/registry/serviceaccounts/n/sa', { metadata: { name: 'sa', namespace: 'n', uid: 'u1' } });
    clock.jump(3600_000);
    expect(answers()).toBe(401);
  });

  it.each([
    ['another key', () => createTokenIssuer({ key: otherKey, clock }).issue(claims())],
    ['another audience', () => createTokenIssuer({ key, clock }).issue(claims({ audiences: ['vault'] }))],
  ])('of %s are refused', async (_, make) => {
    const { token } = await make();
    expect(() => verifier.verify(token)).toThrow(expect.objectContaining(is401));
  });

  it('are refused when tampered with, also after the true one was seen', async () => {
    const token = await issue();
    verifier.verify(token);
    const [head, body, signature] = token.split('.') as [string, string, string];
    const forged = {
      ...JSON.parse(Buffer.from(body, 'base64url').toString()),
      sub: 'system:serviceaccount:kube-system:x',
    };
    const none = Buffer.from(JSON.stringify({ alg: 'none', kid: 'k1' })).toString('base64url');
    const encoded = Buffer.from(JSON.stringify(forged)).toString('base64url');
    for (const bad of [`${head}.${encoded}.${signature}`, `${none}.${body}.`, `${head}.${body}.AAAA`]) {
      expect(() => verifier.verify(bad)).toThrow(expect.objectContaining(is401));
    }
  });

  it.each([
    [{ expirationSeconds: 599 }, 'less than 10 minutes'],
    [{ expirationSeconds: 2 ** 33 }, 'larger than 2^32'],
    [{ boundObject: { ...pod, kind: 'ConfigMap' } }, 'cannot bind token'],
  ])('are not issued for %j', async (changes, message) => {
    await expect(issue(changes)).rejects.toThrow(message);
  });
});

describe('bootstrap tokens', () => {
  const token = 'abcdef.0123456789abcdef';
  const store = async (changes: Record<string, string> = {}, expiresAtMs?: number) => {
    const secret = bootstrapTokenSecret(token, { expiresAtMs });
    for (const [name, value] of Object.entries(changes)) secret.data[name] = Buffer.from(value).toString('base64');
    await seeded.put('/registry/secrets/kube-system/bootstrap-token-abcdef', secret);
  };
  const verify = (text = token) => createBootstrapTokenVerifier({ store: seeded.store, clock }).verify(text);

  it('act as bootstrappers', async () => {
    await store({}, clock.now() + 60_000);
    expect(verify()?.user).toEqual({
      name: 'system:bootstrap:abcdef',
      groups: ['system:bootstrappers', 'system:bootstrappers:coracle:agents', 'system:authenticated'],
    });
  });

  it.each<[string, () => Promise<void>, string?]>([
    ['unknown', async () => {}],
    ['of another secret', () => store(), 'abcdef.ffffffffffffffff'],
    ['expired', () => store({}, clock.now() - 1000)],
    ['with an unreadable expiration', () => store({ expiration: 'soon' })],
    ['not meant for authentication', () => store({ 'usage-bootstrap-authentication': 'false' })],
  ])('that are %s are refused', async (_, prepare, text) => {
    await prepare();
    expect(() => verify(text)).toThrow(expect.objectContaining(is401));
  });

  it('cannot claim other groups than bootstrappers', async () => {
    await store({ 'auth-extra-groups': 'system:masters,system:bootstrappers:x' });
    expect(verify()?.user.groups).toEqual(['system:bootstrappers', 'system:bootstrappers:x', 'system:authenticated']);
  });

  it('are generated in their own format', () => {
    expect(generateBootstrapToken()).toMatch(/^[a-z0-9]{6}\.[a-z0-9]{16}$/);
    expect(verify('not a token')).toBeUndefined();
  });
});

describe('the authenticate filter', () => {
  const filter = createAuthenticateFilter({
    authenticators: [
      createComponentAuthenticator(),
      createClientCertificateAuthenticator(new FakeClock()),
      createBearerTokenAuthenticator([{ name: 'none', verify: () => undefined }]),
    ],
    clock: new FakeClock(),
    metrics: new SecurityMetrics(),
  });
  const nobody = { name: '', groups: [] };
  const run = async (facts: Parameters<typeof fakeContext>[0]) => {
    const context = fakeContext({ user: nobody, ...facts });
    await filter.run(context, () => Promise.resolve());
    return context.user;
  };

  it.each([
    [
      'a client certificate',
      { certificate: { commonName: 'c', organizations: ['o'] } },
      'c',
      ['o', 'system:authenticated'],
    ],
    ['the loopback', { component: 'system:apiserver' }, 'system:apiserver', ['system:masters', 'system:authenticated']],
    [
      'a controller in this process',
      { component: 'system:serviceaccount:kube-system:x' },
      'system:serviceaccount:kube-system:x',
      ['system:serviceaccounts', 'system:serviceaccounts:kube-system', 'system:authenticated'],
    ],
  ])('knows %s', async (_, peer, name, groups) => {
    expect(await run({ peer })).toEqual({ name, groups });
  });

  it('lets anonymous requests pass to health and version alone', async () => {
    const info = (path: string) => ({ info: { isResourceRequest: false, path } });
    for (const path of ['/healthz', '/livez', '/readyz', '/version']) {
      expect((await run(info(path))).groups).toEqual(['system:unauthenticated']);
    }
    for (const path of ['/', '/metrics', '/healthzz', '/livez/ping', '/readyz/etcd', '/api', '/versions']) {
      await expect(run(info(path))).rejects.toMatchObject(is401);
    }
    await expect(run({})).rejects.toMatchObject(is401);
  });

  it('never takes an unknown bearer token for anonymous', async () => {
    const info = { isResourceRequest: false, path: '/healthz' };
    await expect(run({ info, headers: { authorization: 'Bearer x' } })).rejects.toMatchObject(is401);
  });

  it('answers one UserInfo object per connection, so that authorizers can keep what they resolved', () => {
    const authenticator = createClientCertificateAuthenticator(clock);
    const request = fakeRequest({ peer: { certificate: { commonName: 'c', organizations: [] } } });
    expect(authenticator.authenticate(request)).toBe(authenticator.authenticate(request));
  });

  it('takes no certificate that has expired, also on a connection that is older', async () => {
    const authenticator = createClientCertificateAuthenticator(clock);
    const expiresAtMs = clock.now() + 1000;
    const request = fakeRequest({ peer: { certificate: { commonName: 'c', organizations: [], expiresAtMs } } });
    expect(await authenticator.authenticate(request)).toMatchObject({ name: 'c' });
    clock.jump(1000);
    expect(await authenticator.authenticate(request)).toBeUndefined();
  });
});
