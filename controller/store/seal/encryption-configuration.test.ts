import { describe, expect, it } from 'vitest';
import { parseEncryptionConfiguration } from './encryption-configuration.ts';

const SECRET = Buffer.alloc(32, 1).toString('base64');
const key = (name = 'key1', secret: unknown = SECRET) => ({ name, secret });
const entry = (resources: unknown, providers: unknown) => ({
  apiVersion: 'apiserver.config.k8s.io/v1',
  kind: 'EncryptionConfiguration',
  resources: [{ resources, providers }],
});
const parse = (content: unknown) => parseEncryptionConfiguration(content, 'enc.yaml');

describe('parseEncryptionConfiguration', () => {
  it('takes the file that kube-apiserver takes', () => {
    const [parsed] = parse(
      entry(
        ['secrets', 'widgets.example.com'],
        [{ aesgcm: { keys: [key('new'), key('old')] } }, { aescbc: { keys: [key('older')] } }, { identity: {} }],
      ),
    );
    expect(parsed?.resources).toEqual(['secrets', 'widgets.example.com']);
    expect(
      parsed?.providers.map((provider) =>
        provider.kind === 'key' ? `${provider.key.cipher}:${provider.key.name}` : provider.kind,
      ),
    ).toEqual(['aesgcm:new', 'aesgcm:old', 'aescbc:older', 'identity']);
  });

  it.each<[string, unknown, RegExp]>([
    ['nothing', null, /^enc.yaml: expected "key: value" lines$/],
    ['another kind', { kind: 'Pod', apiVersion: 'v1' }, /expected kind EncryptionConfiguration/],
    ['no resources', { ...entry([], []), resources: [] }, /resources: at least one entry is required/],
    ['an entry without resources', entry([], [{ identity: {} }]), /resources\[0\]\.resources: at least one/],
    ['an entry without providers', entry(['secrets'], []), /resources\[0\]\.providers: at least one/],
    ['an unknown field', { ...entry(['secrets'], [{ identity: {} }]), foo: 1 }, /unknown field "foo"/],
    ['an empty provider', entry(['secrets'], [{}]), /the provider is missing/],
    ['two providers in one', entry(['secrets'], [{ identity: {}, aesgcm: {} }]), /more than one provider/],
    ['kms', entry(['secrets'], [{ kms: {} }]), /the provider "kms" is not there in Coracle: use aesgcm/],
    ['secretbox', entry(['secrets'], [{ secretbox: {} }]), /the provider "secretbox" is not there/],
    ['no keys', entry(['secrets'], [{ aesgcm: { keys: [] } }]), /aesgcm\.keys: at least one/],
    ['a key without name', entry(['secrets'], [{ aesgcm: { keys: [key('')] } }]), /name: is a mandatory field/],
    ['a name with a colon', entry(['secrets'], [{ aesgcm: { keys: [key('a:b')] } }]), /must not contain ":"/],
    ['no secret', entry(['secrets'], [{ aesgcm: { keys: [key('a', '')] } }]), /secret: is a mandatory field/],
    ['no base64', entry(['secrets'], [{ aesgcm: { keys: [key('a', '!!')] } }]), /must be base64 encoded/],
    [
      'a short key',
      entry(['secrets'], [{ aesgcm: { keys: [key('a', 'AAAA')] } }]),
      /got 3, expected one of \[16 24 32\]/,
    ],
    ['capital letters', entry(['Secrets'], [{ identity: {} }]), /should not contain capital letters/],
    ['a lone star', entry(['*'], [{ identity: {} }]), /use '\*\.'/],
    ['one resource of all groups', entry(['secrets.*'], [{ identity: {} }]), /across groups is not supported/],
    ['a resource twice', entry(['secrets', 'secrets'], [{ identity: {} }]), /multiple times/],
    ['overlap', entry(['secrets', '*.'], [{ identity: {} }]), /overlapping resources/],
    ['overlap with everything', entry(['a.b', '*.*'], [{ identity: {} }]), /overlapping resources/],
    ['events', entry(['events'], [{ identity: {} }]), /Events stay in memory/],
  ])('refuses %s', (_, content, message) => {
    expect(() => parse(content)).toThrow(message);
  });

  it('never repeats a secret in what it says', () => {
    const secret = Buffer.alloc(20, 1).toString('base64');
    expect(() => parse(entry(['secrets'], [{ aesgcm: { keys: [key('a', secret)] } }]))).not.toThrow(secret);
  });
});
