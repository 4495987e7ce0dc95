import { expect, test } from 'vitest';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { FakeExecutor } from '#test/kit/fake-host.ts';
import { CredentialPlugins, parseCredentialConfig } from './credential-plugins.ts';
import { parseImageReference } from './image-reference.ts';

const VERSION = 'credentialprovider.kubelet.k8s.io/v1';
const provider = (more: object = {}) => ({
  name: 'cloud',
  matchImages: ['*.reg.example', 'other.example:5000/team'],
  defaultCacheDuration: '1h',
  apiVersion: VERSION,
  args: ['get'],
  env: [{ name: 'A', value: 'b' }],
  ...more,
});
const config = (...providers: object[]) => ({ kind: 'CredentialProviderConfig', providers });

function setUp(answer: object) {
  const exec = new FakeExecutor();
  exec.respond(() => JSON.stringify({ apiVersion: VERSION, kind: 'CredentialProviderResponse', ...answer }));
  const clock = new FakeClock();
  const providers = parseCredentialConfig(config(provider()));
  const plugins = new CredentialPlugins({ exec, clock, log: silentLogger, binDir: '/bin', providers });
  const names = async (image: string) =>
    (await plugins.credentials(parseImageReference(image)!)).map((found) => found.auth.username);
  return { exec, clock, names };
}
const auth = { '*.reg.example': { username: 'u', password: 'p' } };

test('a plug-in is asked for the images that it is for, and what it says is kept for a while', async () => {
  const { exec, clock, names } = setUp({ cacheKeyType: 'Registry', cacheDuration: '5m', auth });
  expect(await names('a.reg.example/x:1')).toEqual(['u']);
  expect(exec.calls[0]?.argv).toEqual(['env', 'A=b', '/bin/cloud', 'get']);
  expect(JSON.parse(exec.calls[0]?.stdin ?? '')).toEqual({
    apiVersion: VERSION,
    kind: 'CredentialProviderRequest',
    image: 'a.reg.example/x:1',
  });
  await names('a.reg.example/y:1');
  expect(exec.calls).toHaveLength(1);
  await names('b.reg.example/y:1');
  expect(exec.calls).toHaveLength(2);
  await clock.advance(300_001);
  await names('a.reg.example/x:1');
  expect(exec.calls).toHaveLength(3);
});

test.each(['reg.example/x', 'a.b.reg.example/x', 'docker.io/x', 'other.example/team/x', 'other.example:5000/x'])(
  'it is not asked for %s',
  async (image) => {
    const { exec, names } = setUp({ cacheKeyType: 'Image', auth });
    expect(await names(image)).toEqual([]);
    expect(exec.calls).toEqual([]);
  },
);

test('an answer that makes no sense is passed over', async () => {
  const { names } = setUp({ cacheKeyType: 'Weekly', auth });
  expect(await names('a.reg.example/x')).toEqual([]);
});

test.each([
  [{}, 'is not a CredentialProviderConfig'],
  [config(provider({ name: '../x' })), 'needs a name'],
  [config(provider({ matchImages: [] })), 'needs matchImages'],
  [config(provider({ apiVersion: 'v0' })), 'needs an apiVersion'],
  [config(provider({ tokenAttributes: { serviceAccountTokenAudience: 'a' } })), 'tokenAttributes'],
])('a configuration is refused: %o', (value, message) => {
  expect(() => parseCredentialConfig(value)).toThrow(message);
});
