import { describe, expect, it } from 'vitest';
import { generateBundleKey, type JoinBundle, openBundle, sealBundle } from './join-bundle.ts';
import { requiredFiles, settingsProblem } from './join-files.ts';

const settings = {
  serviceCidr: '10.96.0.0/16',
  clusterCidr: '10.244.0.0/16',
  nodeCidrMaskSize: 24,
  nodeCidrMaskSizeIpv6: 64,
  clusterDomain: 'cluster.local',
  nodePorts: '30000-32767',
};
const bundle: JoinBundle = { components: ['scheduler'], settings, files: { 'pki/ca.crt': 'CA' } };

describe('join bundle', () => {
  const key = generateBundleKey();
  const sealed = sealBundle(bundle, key, 'abcdef');

  it('opens under its own key and token', () => {
    expect(openBundle(sealed, key, 'abcdef')).toEqual(bundle);
  });

  it.each([
    ['another key', sealed, generateBundleKey(), 'abcdef'],
    ['another token', sealed, key, 'ghijkl'],
    ['a flipped bit', sealed.with(20, sealed[20]! ^ 1), key, 'abcdef'],
    ['a cut', sealed.subarray(0, 20), key, 'abcdef'],
    ['nothing', new Uint8Array(), key, 'abcdef'],
  ])('stays shut with %s', (_, bytes, otherKey, id) => {
    expect(openBundle(bytes, otherKey, id)).toBeUndefined();
  });
});

it.each([
  [['scheduler'], ['pki/ca.crt', 'pki/scheduler.crt', 'pki/scheduler.key']],
  [['controller-manager'], ['pki/ca.crt', 'pki/ca.key', 'pki/controller-manager.crt', 'pki/controller-manager.key']],
  [['cloud-controller-manager'], ['pki/ca.crt']],
  [
    ['apiserver', 'scheduler'],
    ['pki/ca.crt', 'pki/ca.key', 'pki/front-proxy-ca.crt', 'pki/front-proxy-ca.key', 'pki/sa.key'],
  ],
] as const)('%s gets the files it needs and no others', (components, files) => {
  expect([...requiredFiles(new Set(components))].sort()).toEqual(files);
});

it('names the settings that differ', () => {
  expect(settingsProblem(settings, settings)).toBeUndefined();
  expect(settingsProblem({ ...settings, serviceCidr: '10.1.0.0/16' }, settings)).toBe(
    'serviceCidr is 10.1.0.0/16 here and 10.96.0.0/16 in the cluster',
  );
});
