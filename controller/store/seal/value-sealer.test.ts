import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KeyRing } from './key-ring.ts';
import { type ConfiguredEncryption, planSealing, type SealingProvider, type StoredResource } from './sealing-plan.ts';
import { PlannedSealer } from './value-sealer.ts';

const RESOURCES: readonly StoredResource[] = [
  { group: '', resource: 'secrets', storagePrefix: '/registry/secrets' },
  { group: '', resource: 'services', storagePrefix: '/registry/services/specs' },
  { group: '', resource: 'nodes', storagePrefix: '/registry/minions' },
  { group: 'apps', resource: 'deployments', storagePrefix: '/registry/deployments' },
];

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const bytes = (value: string) => new TextEncoder().encode(value);
const keyOf = (cipher: 'aesgcm' | 'aescbc', name: string, fill = 1): SealingProvider => ({
  kind: 'key',
  key: { cipher, name, secret: new Uint8Array(32).fill(fill) },
});

describe('PlannedSealer', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'coracle-sealer-'));
  });
  afterEach(() => rm(dir, { recursive: true }));

  const sealer = (entries: readonly ConfiguredEncryption[] = [], encryptSecrets = true) => {
    const ringPath = join(dir, 'keys.json');
    const configuration = entries.length === 0 ? undefined : { name: 'enc.yaml', entries };
    const plan = planSealing({ ringPath, encryptSecrets, configuration }, RESOURCES);
    return new PlannedSealer(plan, new KeyRing({ path: ringPath }));
  };
  const sealed = (key: string, entries?: readonly ConfiguredEncryption[], encryptSecrets?: boolean) =>
    text(sealer(entries, encryptSecrets).seal(key, bytes('{}'))).replace(/^(k8s:enc:\w+:v1:\w+).*/s, '$1');

  it('seals Secrets and nothing else where nothing is said', () => {
    expect(sealed('/registry/secrets/a/b')).toMatch(/^k8s:enc:aesgcm:v1:coracle/);
    for (const key of ['/registry/configmaps/a/b', '/registry/secretsx/a', '/registry/pods/secrets/a'])
      expect(sealed(key)).toBe('{}');
    expect(sealed('/registry/secrets/a/b', [], false)).toBe('{}');
  });

  it.each<[string, string, string]>([
    ['secrets', '/registry/secrets/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['services', '/registry/services/specs/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['services', '/registry/services/endpoints/a/b', '{}'],
    ['nodes', '/registry/minions/a', 'k8s:enc:aesgcm:v1:k'],
    ['deployments.apps', '/registry/deployments/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['deployments', '/registry/apps/deployments/a/b', '{}'],
    ['widgets.example.com', '/registry/example.com/widgets/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['*.example.com', '/registry/example.com/widgets/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['*.apps', '/registry/deployments/a/b', 'k8s:enc:aesgcm:v1:k'],
    ['*.', '/registry/minions/a', 'k8s:enc:aesgcm:v1:k'],
    ['*.', '/registry/deployments/a/b', '{}'],
    ['*.*', '/registry/anything/a', 'k8s:enc:aesgcm:v1:k'],
  ])('knows where resources lie: %s, %s', (resource, key, expected) => {
    expect(sealed(key, [{ resources: [resource], providers: [keyOf('aesgcm', 'k')] }], false)).toBe(expected);
  });

  it('lets the first entry decide that names a resource, and its first provider seal', () => {
    const entries = [
      { resources: ['secrets'], providers: [keyOf('aescbc', 'first'), keyOf('aesgcm', 'second')] },
      { resources: ['*.*'], providers: [keyOf('aesgcm', 'third')] },
    ];
    expect(sealed('/registry/secrets/a/b', entries)).toBe('k8s:enc:aescbc:v1:first');
    expect(sealed('/registry/minions/a', entries)).toBe('k8s:enc:aesgcm:v1:third');
  });

  it('opens what any of its keys sealed, whatever the plan says now', () => {
    const key = '/registry/secrets/a/b';
    const ofRing = sealer().seal(key, bytes('{"ring":1}'));
    const named = keyOf('aescbc', 'old');
    const ofFile = sealer([{ resources: ['secrets'], providers: [named] }]).seal(key, bytes('{"file":1}'));
    const now = sealer([{ resources: ['secrets'], providers: [{ kind: 'identity' }, named] }], false);
    expect([ofRing, ofFile, bytes('{}')].map((stored) => text(now.open(key, stored)))).toEqual([
      '{"ring":1}',
      '{"file":1}',
      '{}',
    ]);
    expect([ofRing, ofFile, bytes('{}')].map((stored) => now.isCurrent(key, stored))).toEqual([false, false, true]);
    expect(now.isCurrent('/registry/pods/a/b', ofRing)).toBe(false);
    expect(sealer().isCurrent(key, ofRing)).toBe(true);
    expect(sealer().isCurrent(key, bytes('{}'))).toBe(false);
  });

  it('names cause and cure where a value does not open', () => {
    const key = '/registry/secrets/a/b';
    const stored = sealer([{ resources: ['secrets'], providers: [keyOf('aesgcm', 'k')] }]).seal(key, bytes('{}'));
    expect(() => sealer().open(key, stored)).toThrow(
      /secrets\/a\/b is sealed under the aesgcm key "k", which is not in .*keys\.json: put the file with the key back/,
    );
    const other = sealer([{ resources: ['secrets'], providers: [keyOf('aesgcm', 'k', 2)] }]);
    expect(() => other.open(key, stored)).toThrow(/does not open with the one of that name in enc\.yaml or/);
    expect(() => other.open(key, bytes('k8s:enc:kms:v2:p:xyz'))).toThrow(
      /by the provider "kms", which Coracle does not have/,
    );
    expect(() => other.open(key, bytes('k8s:enc:'))).toThrow(/SealError|provider ""/);
  });
});
