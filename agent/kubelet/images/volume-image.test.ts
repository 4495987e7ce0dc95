import { expect, test } from 'vitest';
import type { ContainerRuntime } from '../../cri/runtime.ts';
import { podWith } from '../testing/pod-fixtures.ts';
import { pullVolumeImage } from './volume-image.ts';

const WHOLE = {};
const SUB_PATH = { subPath: 'etc' };
const EXPRESSION = { subPathExpr: '$(NAME)' };

test.each([
  {
    name: 'containerd',
    version: '1.6.20~ds1',
    mount: WHOLE,
    outcome: 'image volumes need containerd 2.1, this node has 1.6.20~ds1',
  },
  {
    name: 'containerd',
    version: 'v2.0.4',
    mount: WHOLE,
    outcome: 'image volumes need containerd 2.1, this node has v2.0.4',
  },
  { name: 'containerd', version: '2.1.9+unknown', mount: WHOLE, outcome: 'sha256:1' },
  {
    name: 'containerd',
    version: '2.1.9',
    mount: SUB_PATH,
    outcome: 'subPath of image volumes needs containerd 2.2, this node has 2.1.9',
  },
  {
    name: 'containerd',
    version: '2.1.9',
    mount: EXPRESSION,
    outcome: 'subPath of image volumes needs containerd 2.2, this node has 2.1.9',
  },
  { name: 'containerd', version: '2.2.0', mount: SUB_PATH, outcome: 'sha256:1' },
  { name: 'cri-o', version: '1.33.0', mount: SUB_PATH, outcome: 'sha256:1' },
])('$name $version with $mount: $outcome', async ({ name, version, mount, outcome }) => {
  const runtime = { version: async () => ({ name, version, apiVersion: 'v1' }) } as unknown as ContainerRuntime;
  const image = { id: 'sha256:1', repoTags: [], repoDigests: [], sizeBytes: 1, uid: undefined, username: '' };
  const volumeMounts = [{ name: 'data', mountPath: '/data', ...mount }];
  const pod = podWith({ containers: [{ name: 'main', volumeMounts }] });
  const request = { volume: 'data', reference: 'app:1', policy: undefined, signal: undefined };
  const pulled = pullVolumeImage({ runtime }, { ensure: async () => image }, pod, request);
  expect(await pulled.catch((err: Error) => err.message)).toBe(outcome);
});
