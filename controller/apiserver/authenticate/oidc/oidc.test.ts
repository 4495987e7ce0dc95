import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { type JwtIssuer, parseAuthenticationConfiguration } from './authentication-configuration.ts';
import { userOfClaims } from './claims-to-user.ts';
import { createOidcVerifier, type OidcVerifier } from './oidc-token.ts';

const ISSUER = 'https://issuer.example.com';
const parse = (document: object) =>
  parseAuthenticationConfiguration(
    { apiVersion: 'apiserver.config.k8s.io/v1', kind: 'AuthenticationConfiguration', ...document },
    { fileName: 'f', ownIssuer: 'https://kubernetes.default.svc.cluster.local' },
  );

const USERNAME = { username: { claim: 'sub', prefix: '' } };
const jwt = (part: { issuer?: object; claimMappings?: object } & Record<string, unknown> = {}) => ({
  claimMappings: USERNAME,
  ...part,
  issuer: { url: ISSUER, audiences: ['coracle'], ...part.issuer },
});
const issuerOf = (part: object): JwtIssuer =>
  parse({ jwt: [jwt(part as Parameters<typeof jwt>[0])] }).issuers[0] as JwtIssuer;

describe('AuthenticationConfiguration', () => {
  it.each<[string, object, string]>([
    ['another kind', { kind: 'Policy' }, 'expected kind AuthenticationConfiguration'],
    ['unknown fields', { jwts: [] }, 'unknown field "jwts"'],
    ['http', { jwt: [jwt({ issuer: { url: 'http://a' } })] }, 'jwt[0].issuer.url: URL scheme must be https'],
    ['no audience', { jwt: [jwt({ issuer: { audiences: [] } })] }, 'jwt[0].issuer.audiences: at least one'],
    [
      'two audiences, no policy',
      { jwt: [jwt({ issuer: { audiences: ['a', 'b'] } })] },
      'jwt[0].issuer.audienceMatchPolicy: audienceMatchPolicy must be MatchAny for multiple audiences',
    ],
    ['one issuer twice', { jwt: [jwt(), jwt()] }, `jwt[1].issuer.url: duplicate value: ${ISSUER}`],
    [
      'our own issuer',
      { jwt: [jwt({ issuer: { url: 'https://kubernetes.default.svc.cluster.local' } })] },
      'URL must not overlap with disallowed issuers',
    ],
    [
      'a claim without a prefix',
      { jwt: [jwt({ claimMappings: { username: { claim: 'sub' } } })] },
      'jwt[0].claimMappings.username.prefix: prefix is required when claim is set',
    ],
    [
      'an expression that is none',
      { jwt: [jwt({ claimMappings: { username: { expression: 'claims.' } } })] },
      'jwt[0].claimMappings.username.expression: compilation failed',
    ],
    [
      'an expression of another type',
      { jwt: [jwt({ claimMappings: { username: { expression: '1 + 1' } } })] },
      'jwt[0].claimMappings.username.expression: must evaluate to string but got int',
    ],
    [
      'a mail address that need not be verified',
      { jwt: [jwt({ claimMappings: { username: { expression: 'claims.email' } } })] },
      'claims.email_verified must be used in',
    ],
    [
      'the same, spelled as a key',
      { jwt: [jwt({ claimMappings: { username: { expression: 'claims["email"]' } } })] },
      'claims.email_verified must be used in',
    ],
    [
      'reserved extra keys',
      { jwt: [jwt({ claimMappings: { ...USERNAME, extra: [{ key: 'x.k8s.io/a', valueExpression: '"b"' }] } })] },
      'jwt[0].claimMappings.extra[0].key: k8s.io, kubernetes.io and their subdomains are reserved',
    ],
    [
      'conditions for nobody',
      { anonymous: { enabled: false, conditions: [{ path: '/livez' }] } },
      'anonymous.conditions: enabled should be set to true when conditions are defined',
    ],
  ])('refuses %s', (_, document, message) => {
    expect(() => parse(document)).toThrow(message);
  });

  it('says who may be anonymous', () => {
    expect(parse({}).anonymous).toBeUndefined();
    expect(parse({ anonymous: { enabled: true, conditions: [{ path: '/livez' }] } }).anonymous).toEqual({
      enabled: true,
      paths: ['/livez'],
    });
  });
});

describe('claims make a user', () => {
  it('through names of claims', () => {
    const issuer = issuerOf({
      claimMappings: {
        username: { claim: 'sub', prefix: 'oidc:' },
        groups: { claim: 'roles', prefix: 'g:' },
        uid: { claim: 'id' },
      },
    });
    expect(userOfClaims(issuer, { sub: 'ann', roles: ['a', 'b'], id: '7' })).toEqual({
      name: 'oidc:ann',
      uid: '7',
      groups: ['g:a', 'g:b', 'system:authenticated'],
    });
    expect(userOfClaims(issuer, { sub: 'ann', roles: 'one', id: '7' }).groups).toEqual([
      'g:one',
      'system:authenticated',
    ]);
  });

  it('through expressions', () => {
    const issuer = issuerOf({
      claimMappings: {
        username: { expression: 'claims.email_verified ? claims.email : "nobody"' },
        groups: { expression: 'claims.roles.filter(r, r.startsWith("k8s-"))' },
        extra: [{ key: 'example.com/team', valueExpression: 'claims.team' }],
      },
    });
    const claims = {
      email: 'ann@example.com',
      email_verified: true,
      roles: ['k8s-dev', 'hr'],
      team: 'blue',
      jti: 'j1',
    };
    expect(userOfClaims(issuer, claims)).toEqual({
      name: 'ann@example.com',
      groups: ['k8s-dev', 'system:authenticated'],
      extra: { 'example.com/team': ['blue'], 'authentication.kubernetes.io/credential-id': ['JTI=j1'] },
    });
  });

  it.each<[string, object, Record<string, unknown>, string]>([
    ['a claim is missing', {}, {}, 'claim sub is missing'],
    [
      'a required value is another',
      { claimValidationRules: [{ claim: 'hd', requiredValue: 'example.com' }] },
      { sub: 'a', hd: 'evil.example' },
      'required claim hd value does not match',
    ],
    [
      'a rule about claims is broken',
      { claimValidationRules: [{ expression: 'claims.exp - claims.nbf <= 86400', message: 'lives too long' }] },
      { sub: 'a', exp: 100000, nbf: 0 },
      'lives too long',
    ],
    [
      'a rule about the user is broken',
      { userValidationRules: [{ expression: "!user.username.startsWith('system:')", message: 'reserved' }] },
      { sub: 'system:masters' },
      'reserved',
    ],
    [
      'the mail address is not verified',
      { claimMappings: { username: { claim: 'email', prefix: '' } } },
      { email: 'a@b', email_verified: false },
      'email not verified',
    ],
    [
      'an expression fails',
      { claimMappings: { username: { expression: 'claims.nothing' } } },
      { sub: 'a' },
      'resulted in error',
    ],
  ])('unless %s', (_, part, claims, message) => {
    expect(() => userOfClaims(issuerOf(part), claims as never)).toThrow(message);
  });
});

describe('a token of an issuer', () => {
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let others: typeof keys;
  let clock: FakeClock;
  let served: Map<string, unknown>;
  let asked: string[];
  let verifier: OidcVerifier;

  beforeAll(async () => {
    keys = await generateKeyPair('ES256');
    others = await generateKeyPair('ES256');
  });

  beforeEach(async () => {
    clock = new FakeClock();
    asked = [];
    const jwks = { keys: [{ ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'ES256' }] };
    served = new Map<string, unknown>([
      [`${ISSUER}/.well-known/openid-configuration`, { issuer: ISSUER, jwks_uri: `${ISSUER}/keys` }],
      [`${ISSUER}/keys`, jwks],
    ]);
    verifier = createOidcVerifier({
      clock,
      log: silentLogger,
      fetchJson: async (url) => {
        asked.push(url.slice(ISSUER.length));
        if (!served.has(url)) throw new Error('gone');
        return served.get(url);
      },
    });
    verifier.configure([issuerOf({})]);
  });

  const sign = (claims: object = {}, { kid = 'k1', key = keys.privateKey } = {}) => {
    const now = Math.floor(clock.now() / 1000);
    return new SignJWT({ iss: ISSUER, aud: 'coracle', sub: 'ann', exp: now + 600, ...claims })
      .setProtectedHeader({ alg: 'ES256', kid })
      .sign(key);
  };
  const refused = { code: 401 };

  it('names its user; the issuer is asked once', async () => {
    for (let i = 0; i < 3; i++) {
      expect((await verifier.verify(await sign({ jti: `${i}` })))?.user.name).toBe('ann');
    }
    expect(asked).toEqual(['/.well-known/openid-configuration', '/keys']);
  });

  it.each<[string, () => Promise<string>]>([
    ['has expired', () => sign({ exp: Math.floor(clock.now() / 1000) - 1 })],
    ['is not yet good', () => sign({ nbf: Math.floor(clock.now() / 1000) + 600 })],
    ['never expires', () => sign({ exp: undefined })],
    ['is for somebody else', () => sign({ aud: 'other' })],
    ['was signed by somebody else', () => sign({}, { key: others.privateKey })],
    ['names a key that is not there', () => sign({}, { kid: 'k9' })],
  ])('is refused when it %s', async (_, make) => {
    await expect((async () => verifier.verify(await make()))()).rejects.toMatchObject(refused);
  });

  it('is refused when signed with what is public, or not at all', async () => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = part({ iss: ISSUER, aud: 'coracle', sub: 'ann', exp: 9e9 });
    for (const alg of ['none', 'HS256']) {
      await expect(verifier.verify(`${part({ alg, kid: 'k1' })}.${claims}.AAAA`)).rejects.toMatchObject(refused);
    }
  });

  it('is nobody’s business when nobody named its issuer, and no good for other audiences', async () => {
    expect(verifier.verify(await sign({ iss: 'https://other.example' }))).toBeUndefined();
    const token = await sign();
    expect(() => verifier.verify(token, ['vault'])).toThrow();
  });

  it('is refused once it has expired, though it was good a moment ago', async () => {
    const token = await sign({ exp: Math.floor(clock.now() / 1000) + 5 });
    await verifier.verify(token);
    await clock.advance(6_000);
    await expect((async () => verifier.verify(token))()).rejects.toMatchObject(refused);
  });

  it('does not make strangers’ tokens a storm of requests', async () => {
    served.clear();
    for (let i = 0; i < 5; i++)
      await expect((async () => verifier.verify(await sign()))()).rejects.toMatchObject(refused);
    expect(asked).toHaveLength(1);
  });

  it('is refused where the discovery document speaks for somebody else', async () => {
    served.set(`${ISSUER}/.well-known/openid-configuration`, { issuer: 'https://evil', jwks_uri: `${ISSUER}/keys` });
    await expect((async () => verifier.verify(await sign()))()).rejects.toMatchObject(refused);
  });
});
