import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ConfigMap, type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { CriError } from '../cri/runtime.ts';
import { KubeletRig, TEST_IMAGE } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  await rig.start();
});
afterEach(() => rig.stop());

/** Lets calls of this method wait until the returned function is called. */
function holdBack(method: string): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  rig.onCall = async (called, proceed) => {
    if (called === method) await promise;
    return proceed();
  };
  return resolve;
}

const calls = (method: string) => rig.runtime.calls.filter((call) => call.method === method).length;
const hostsFile = async () => rig.host.fs.readText(`/var/lib/kubelet/pods/${rig.pod()?.metadata.uid}/etc-hosts`);
const variables = () => [...rig.runtime.containers.values()].at(-1)?.config.env;
const app = { name: 'app', image: TEST_IMAGE };

describe('of what a container needs', () => {
  test('all that the sandbox has no part in is there while the sandbox is made', async () => {
    const goOn = holdBack('runSandbox');
    const pod = await rig.createPod();
    const folder = `/var/lib/kubelet/pods/${pod.metadata.uid}`;
    expect(await rig.host.fs.list(`${folder}/containers/app`)).toHaveLength(1);
    expect(await rig.host.fs.list('/var/log/pods')).toEqual([`default_web_${pod.metadata.uid}`]);
    expect(await hostsFile()).toContain('127.0.0.1\tlocalhost');
    goOn();
    await rig.settle();
    expect(rig.condition('Ready')?.status).toBe('True');
  });

  test('the addresses come while the container is made, and before its process', async () => {
    const goOn = holdBack('sandboxStatus');
    await rig.createPod();
    expect([calls('createContainer'), calls('startContainer')]).toEqual([1, 0]);
    goOn();
    await rig.settle();
    expect(calls('startContainer')).toBe(1);
    expect(await hostsFile()).toContain(`${rig.pod()?.status?.podIP}\tweb`);
  });

  test.each(['status.podIP', 'status.podIPs'])('a variable that is %s is waited for', async (fieldPath) => {
    const goOn = holdBack('sandboxStatus');
    await rig.createPod({ containers: [{ ...app, env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath } } }] }] });
    expect(calls('createContainer')).toBe(0);
    goOn();
    await rig.settle();
    expect(variables()).toContainEqual({ key: 'IP', value: rig.pod()?.status?.podIP });
  });

  test('what waited long for its image reads its variables afterwards', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    rig.onCall = async (called, proceed) => {
      if (called === 'pullImage') await promise;
      return proceed();
    };
    const maps = rig.client.resource<ConfigMap>(resources.configMaps);
    const settings = { name: 'settings', namespace: 'default' };
    await maps.create({ metadata: settings, data: { A: 'old' } });
    const envFrom = [{ configMapRef: { name: 'settings' } }];
    const behind = { ...app, name: 'behind', envFrom };
    await rig.createPod({ containers: [{ ...app, imagePullPolicy: 'Always', envFrom }, behind] });
    await maps.patch({ ...settings, type: 'merge', patch: { data: { A: 'new' } } });
    await rig.advance(60_000);
    resolve();
    await rig.settle();
    const all = [...rig.runtime.containers.values()].map(({ config }) => config.env);
    expect(all).toHaveLength(2);
    for (const env of all) expect(env).toContainEqual({ key: 'A', value: 'new' });
  });

  test('a hosts file that is late takes no addresses back', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { fs } = rig.host;
    const write = fs.write.bind(fs);
    fs.write = async (path, ...rest) => {
      if (path.endsWith('/etc-hosts') && calls('sandboxStatus') === 0) await promise;
      return write(path, ...rest);
    };
    await rig.createPod();
    expect(calls('sandboxStatus')).toBe(1);
    resolve();
    await rig.settle();
    expect(calls('startContainer')).toBe(1);
    expect(await hostsFile()).toContain(`${rig.pod()?.status?.podIP}\tweb`);
  });

  test('nor does one whose folder is late', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const { fs } = rig.host;
    const makeDirectory = fs.makeDirectory.bind(fs);
    fs.makeDirectory = async (path, mode) => {
      if (/\/pods\/[^/]*$/.test(path) && calls('sandboxStatus') === 0) await promise;
      return makeDirectory(path, mode);
    };
    await rig.createPod();
    expect(calls('sandboxStatus')).toBe(1);
    resolve();
    await rig.settle();
    expect(await hostsFile()).toContain(`${rig.pod()?.status?.podIP}\tweb`);
  });
});

test('a volume that cannot be had is told of while the sandbox is made, and had once it can be', async () => {
  const volumes = [{ name: 'conf', secret: { secretName: 'late' } }];
  const mounting = { ...app, volumeMounts: [{ name: 'conf', mountPath: '/conf' }] };
  await rig.createPod({ containers: [mounting], volumes });
  await rig.advance(1_000);
  expect(rig.eventTexts().filter((text) => text.startsWith('FailedMount'))).toEqual([
    expect.stringContaining('secret "late" not found'),
  ]);
  await rig.client
    .resource<Secret>(resources.secrets)
    .create({ metadata: { name: 'late', namespace: 'default' }, data: { key: 'dmFsdWU=' } });
  await rig.advance(120_000);
  expect(rig.pod()?.status?.phase).toBe('Running');
});

test('the folder of a pod is there before all that is made in it, and no volume is made of a pod that is to go', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { fs } = rig.host;
  const makeDirectory = fs.makeDirectory.bind(fs);
  const made: string[] = [];
  fs.makeDirectory = async (path, mode) => {
    if (path.startsWith('/var/lib/kubelet/pods/'))
      made.push(`${path.split('/').slice(6).join('/')} ${mode?.toString(8)}`);
    if (/\/pods\/[^/]*$/.test(path)) await promise;
    return makeDirectory(path, mode);
  };
  const release = rig.runtime.hold('runSandbox');
  await rig.createPod({ volumes: [{ name: 'data', emptyDir: {} }] });
  expect(made).toEqual([' 750']);
  await rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default' });
  await rig.settle();
  resolve();
  release();
  await rig.settle();
  expect(rig.pod()).toBeUndefined();
  expect(made).toEqual([' 750']);
});

describe('on a disk that is full', () => {
  let isFull: (text: string) => boolean;
  beforeEach(() => {
    isFull = () => true;
    const { fs } = rig.host;
    const writeAtomic = fs.writeAtomic.bind(fs);
    fs.writeAtomic = async (path, content, options) => {
      if (path.includes('/ledger/') && isFull(String(content))) throw new Error('ENOSPC: no space left on device');
      return writeAtomic(path, content, options);
    };
  });

  test('no container is made of a pod that could not be remembered, until there is room', async () => {
    await rig.createPod();
    await rig.advance(60_000);
    expect([calls('runSandbox'), calls('createContainer')]).toEqual([1, 0]);
    isFull = () => false;
    await rig.advance(20_000);
    expect(rig.condition('Ready')?.status).toBe('True');
  });

  test('a mark that cannot be written, of a container that cannot be made, ends nothing else', async () => {
    isFull = (text) => text.includes('"ran":true');
    rig.runtime.fail('createContainer');
    await rig.createPod({ restartPolicy: 'Never' });
    expect(rig.containerStatus()?.state?.waiting?.reason).toBe('CreateContainerError');
  });

  test('pods end all the same', async () => {
    isFull = () => false;
    await rig.createPod();
    isFull = () => true;
    await rig.client.resource<Pod>(resources.pods).delete({ name: 'web', namespace: 'default', gracePeriodSeconds: 5 });
    await rig.settle();
    expect([...rig.runtime.containers.values()].map(({ status }) => status.state)).toEqual(['EXITED']);
  });
});

test('a pod is on disk before its first container is made, not before its sandbox', async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { fs } = rig.host;
  const { writeAtomic } = fs;
  fs.writeAtomic = async (path, ...rest) => {
    if (path.includes('/ledger/')) await promise;
    return writeAtomic.call(fs, path, ...rest);
  };
  await rig.createPod();
  expect([calls('runSandbox'), calls('createContainer')]).toEqual([1, 0]);
  resolve();
  await rig.settle();
  expect(rig.condition('Ready')?.status).toBe('True');
});

test.each(['not made', 'made'])(
  'a container that never restarts, %s by a runtime that gives no answer, has its run',
  async (outcome) => {
    let isAway = true;
    rig.onCall = async (method, proceed) => {
      if (method !== 'createContainer' || !isAway) return proceed();
      isAway = false;
      if (outcome === 'made') await proceed();
      throw new CriError(14, 'transport is closing');
    };
    await rig.createPod({ restartPolicy: 'Never' });
    expect(rig.pod()?.status?.phase).toBe('Pending');
    for (let second = 0; second < 40; second++) await rig.advance(1000);
    expect(rig.condition('Ready')?.status).toBe('True');
    expect(calls('startContainer')).toBe(1);
  },
);

test('a sandbox of which nothing can be learnt is told of, and another one is made', async () => {
  rig.runtime.fail('sandboxStatus');
  await rig.createPod();
  await rig.advance(5_000);
  expect(rig.eventTexts()).toContain('FailedStatusPodSandBox: Unable to get pod sandbox status: sandboxStatus failed');
  expect(calls('startContainer')).toBe(0);
  await rig.advance(40_000);
  expect(rig.condition('Ready')?.status).toBe('True');
  expect([...rig.runtime.sandboxes.values()].filter(({ ready }) => ready)).toHaveLength(1);
  expect(calls('startContainer')).toBe(1);
});
