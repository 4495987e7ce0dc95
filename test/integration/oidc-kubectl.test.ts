import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestAuthority } from '#controller/apiserver/server/testing/test-certificates.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { runKubectl } from '#test/kit/kubectl.ts';

/** An issuer of our own on loopback, and the real kubectl with its tokens against a whole controller. */
let issuer: Server;
let url = '';
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
let controller: ControllerProcess;
let folder = '';

beforeAll(async () => {
  keys = await generateKeyPair('RS256');
  const authority = await createTestAuthority('issuer-ca');
  const { key, cert } = await authority.issue({ commonName: 'issuer', organizations: [] }, 'server auth');
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'k1', alg: 'RS256', use: 'sig' };
  issuer = createServer({ key, cert }, (request, response) => {
    const documents: Record<string, object> = {
      '/.well-known/openid-configuration': { issuer: url, jwks_uri: `${url}/keys` },
      '/keys': { keys: [jwk] },
    };
    const found = documents[request.url ?? ''];
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(found ?? {}));
  });
  await new Promise<void>((resolve) => issuer.listen(0, '127.0.0.1', resolve));
  url = `https://127.0.0.1:${(issuer.address() as AddressInfo).port}`;
  folder = await import('node:fs/promises').then(({ mkdtemp }) => mkdtemp('/tmp/coracle-oidc-'));
  const configuration = {
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'AuthenticationConfiguration',
    jwt: [
      {
        issuer: { url, audiences: ['coracle'], certificateAuthority: authority.cert },
        claimMappings: {
          username: { expression: '"oidc:" + claims.sub' },
          groups: { expression: 'claims.roles.filter(r, r.startsWith("k8s-"))' },
          extra: [{ key: 'example.com/team', valueExpression: 'claims.team' }],
        },
        userValidationRules: [
          { expression: "!user.groups.exists(g, g.startsWith('system:'))", message: 'groups of the system are ours' },
        ],
      },
    ],
    anonymous: { enabled: true, conditions: [{ path: '/livez' }, { path: '/readyz' }] },
  };
  // JSON is YAML.
  await writeFile(join(folder, 'authentication.yaml'), JSON.stringify(configuration));
  const flags = ['--authentication-config', join(folder, 'authentication.yaml')];
  controller = await startControllerProcess({ fromSource: true, flags });
  const text = await readFile(controller.kubeconfig, 'utf8');
  // Without a certificate of its own, so that the token is what counts.
  const bare = text
    .replace(/server: .*/, `server: ${controller.access.server}`)
    .replace(/ +client-(certificate|key)-data: .*\n/g, '')
    .replace('  user:\n', '  user: {}\n');
  await writeFile(join(folder, 'kubeconfig'), bare, { mode: 0o600 });
});
afterAll(async () => {
  await controller?.stop();
  issuer?.close();
  await import('node:fs/promises').then(({ rm }) => rm(folder, { recursive: true, force: true }));
});

function tokenFor(claims: object = {}): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ sub: 'ann', roles: ['k8s-dev', 'hr'], team: 'blue', exp: now + 300, ...claims, iss: url })
    .setAudience('coracle')
    .setProtectedHeader({ alg: 'RS256', kid: 'k1' })
    .sign(keys.privateKey);
}

const kubectl = (token: string, args: string) =>
  runKubectl([...args.split(' '), '--token', token], { kubeconfig: join(folder, 'kubeconfig'), timeoutMs: 30_000 });

describe('tokens of an issuer', () => {
  test('make the user that the configuration says', async () => {
    const { stdout, stderr } = await kubectl(await tokenFor(), 'auth whoami -o json');
    expect(stderr).toBe('');
    expect(JSON.parse(stdout).status.userInfo).toEqual({
      username: 'oidc:ann',
      groups: ['k8s-dev', 'system:authenticated'],
      extra: { 'example.com/team': ['blue'] },
    });
  });

  test('have the rights of that user, and no others', async () => {
    expect((await kubectl(await tokenFor(), 'get pods')).stderr).toContain(
      'User "oidc:ann" cannot list resource "pods"',
    );
  });

  test.each<[string, object]>([
    ['has expired', { exp: 1_000_000_000 }],
    ['breaks a rule of the configuration', { roles: ['k8s-x'], team: 7 }],
  ])('are refused when one %s', async (_, claims) => {
    expect((await kubectl(await tokenFor(claims), 'get pods')).stderr).toMatch(/Unauthorized|must be logged in/);
  });

  test('anonymous requests get as far as the configuration says', async () => {
    const ask = async (path: string) => {
      const { request } = await import('node:https');
      return new Promise<number>((resolve, reject) => {
        const sent = request(`${controller.access.server}${path}`, { ca: controller.access.ca }, (answer) => {
          answer.resume();
          resolve(answer.statusCode ?? 0);
        });
        sent.once('error', reject);
        sent.end();
      });
    };
    expect([await ask('/livez'), await ask('/version'), await ask('/api/v1/pods')]).toEqual([200, 401, 401]);
  });
});
