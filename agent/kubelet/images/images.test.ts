import { describe, expect, test } from 'vitest';
import type { Secret } from '#api/object/kinds.ts';
import { formatImageReference, parseImageReference } from './image-reference.ts';
import { registryCredentials } from './registry-credentials.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('parseImageReference', () => {
  test.each([
    ['nginx', 'docker.io/library/nginx:latest'],
    ['nginx:1.27', 'docker.io/library/nginx:1.27'],
    ['team/app', 'docker.io/team/app:latest'],
    ['index.docker.io/nginx', 'docker.io/library/nginx:latest'],
    ['localhost/app:1', 'localhost/app:1'],
    ['registry.example:5000/a/b/c:v1', 'registry.example:5000/a/b/c:v1'],
    [`nginx@${DIGEST}`, `docker.io/library/nginx@${DIGEST}`],
    [`nginx:1@${DIGEST}`, `docker.io/library/nginx:1@${DIGEST}`],
  ])('completes %s', (text, expected) => {
    const reference = parseImageReference(text);
    expect(reference && formatImageReference(reference)).toBe(expected);
  });

  test.each(['', 'UPPER', 'a//b', 'nginx:', 'nginx:a b', 'nginx@sha256:12', 'http://nginx', '-a', 'a@b@c'])(
    'refuses %j',
    (text) => {
      expect(parseImageReference(text)).toBeUndefined();
    },
  );
});

describe('registryCredentials', () => {
  const secret = (auths: object): Secret => ({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 's', uid: 'u', resourceVersion: '1', creationTimestamp: '' },
    data: { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') },
  });
  const users = (image: string, auths: object) =>
    registryCredentials([secret(auths)], parseImageReference(image)!).map((found) => found.auth.username);
  const auth = (user: string) => ({ auth: Buffer.from(`${user}:pass:word`).toString('base64') });

  test('fits by registry, with the most specific path first', () => {
    const auths = { 'r.example': auth('all'), 'r.example/team': auth('team'), 'other.example': auth('other') };
    expect(users('r.example/team/app', auths)).toEqual(['team', 'all']);
    expect(users('r.example/teams/app', auths)).toEqual(['all']);
  });

  test('knows Docker Hub by its old address, and host patterns by element', () => {
    expect(users('nginx', { 'https://index.docker.io/v1/': auth('hub') })).toEqual(['hub']);
    expect(users('a.r.example/x', { '*.r.example': auth('star') })).toEqual(['star']);
    expect(users('a.b.r.example/x', { '*.r.example': auth('star') })).toEqual([]);
  });

  test('keeps colons of a password and passes over what it cannot read', () => {
    const broken: Secret = { ...secret({}), data: { '.dockerconfigjson': 'bm9wZQ==' } };
    const found = registryCredentials(
      [broken, secret({ 'r.example': auth('u') })],
      parseImageReference('r.example/x')!,
    );
    expect(found).toEqual([
      {
        auth: { username: 'u', password: 'pass:word', serverAddress: 'r.example', identityToken: '' },
        secret: { uid: 'u', namespace: '', name: 's' },
      },
    ]);
  });
});
