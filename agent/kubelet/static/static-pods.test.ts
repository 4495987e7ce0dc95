import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Pod, resources } from '#api/object/kinds.ts';
import { KubeletRig, STATIC_PODS, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { parseStaticPod } from './static-manifest.ts';

const manifest = (more = '') =>
  `apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\nspec:\n  terminationGracePeriodSeconds: 1\n  containers:\n  - name: app\n    image: ${TEST_IMAGE}\n${more}`;
const parse = (text: string, path = '/m/a.yaml') =>
  parseStaticPod({ bytes: new TextEncoder().encode(text), path, nodeName: 'Node-1', seenMs: 0 });

describe('parseStaticPod', () => {
  test('names the pod after its node, and its uid after node, file and content', async () => {
    const pod = await parse(manifest());
    expect(pod.metadata).toMatchObject({
      name: 'web-node-1',
      namespace: 'default',
      uid: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(pod.spec).toMatchObject({ nodeName: 'Node-1', tolerations: [{ operator: 'Exists', effect: 'NoExecute' }] });
    expect((await parse(manifest())).metadata.uid).toBe(pod.metadata.uid);
    expect((await parse(manifest(), '/m/b.yaml')).metadata.uid).not.toBe(pod.metadata.uid);
    expect((await parse(manifest('    tty: true\n'))).metadata.uid).not.toBe(pod.metadata.uid);
  });

  test.each([
    ['not YAML', 'a: [', 'cannot be read'],
    ['another kind', 'apiVersion: v1\nkind: Service\n', 'is not a manifest of a v1 Pod'],
    ['no containers', 'apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n', 'no containers'],
    ['a bad name', manifest().replace('name: web', 'name: Web_'), 'invalid name'],
    ['a secret', manifest('  volumes: [{name: s, secret: {secretName: x}}]\n'), 'may not use a secret volume'],
    ['an account', manifest('  serviceAccountName: x\n'), 'may not use a service account'],
  ])('refuses %s', async (_name, text, message) => {
    await expect(parse(text)).rejects.toThrow(message);
  });
});

describe('static pods', () => {
  let rig: KubeletRig;
  beforeEach(() => {
    rig = new KubeletRig();
    rig.host.fs.seed(`${STATIC_PODS}/web.yaml`, manifest());
  });
  afterEach(() => rig.stop());
  const mirror = () => rig.pod('web-node-1');
  const pods = () => rig.client.resource<Pod>(resources.pods);

  test('run without being told, and the API shows them with their status', async () => {
    await rig.start();
    await rig.advance(1000);
    expect(mirror()).toMatchObject({
      metadata: {
        annotations: { 'kubernetes.io/config.source': 'file', 'kubernetes.io/config.mirror': expect.any(String) },
        ownerReferences: [{ kind: 'Node', name: 'node-1', controller: true }],
      },
      status: { phase: 'Running' },
    });
    expect(rig.runtime.containers.size).toBe(1);
  });

  test('a mirror that somebody deletes comes back, and nothing is restarted', async () => {
    await rig.start();
    await rig.advance(1000);
    const { uid } = mirror()!.metadata;
    await pods().delete({ name: 'web-node-1', namespace: 'default', gracePeriodSeconds: 0 });
    await rig.advance(1000);
    expect(mirror()?.metadata.uid).not.toBe(uid);
    expect(mirror()?.status?.phase).toBe('Running');
    expect(rig.runtime.callsOf('createContainer')).toHaveLength(1);
  });

  test('a changed file replaces the pod once the old one has ended, a removed file ends it', async () => {
    await rig.start();
    await rig.advance(1000);
    rig.host.fs.seed(`${STATIC_PODS}/web.yaml`, manifest('    tty: true\n'));
    await rig.advance(21_000);
    const methods = rig.runtime.calls.map(({ method }) => method).filter((one) => /^(run|remove)Sandbox/.test(one));
    expect(methods).toEqual(['runSandbox', 'removeSandbox', 'runSandbox']);
    expect(mirror()?.spec?.containers[0]?.tty).toBe(true);
    expect(mirror()?.status?.phase).toBe('Running');
    await rig.host.fs.remove(`${STATIC_PODS}/web.yaml`);
    await rig.advance(21_000);
    expect(mirror()).toBeUndefined();
    expect(rig.runtime.sandboxes.size).toBe(0);
  });

  test('a restart of the agent does not touch them', async () => {
    await rig.start();
    await rig.advance(1000);
    const { uid } = mirror()!.metadata;
    await rig.restart();
    await rig.advance(1000);
    expect(mirror()?.metadata.uid).toBe(uid);
    expect(rig.runtime.callsOf('createContainer')).toHaveLength(1);
  });

  test('a file that is broken keeps the pod that it gave', async () => {
    await rig.start();
    await rig.advance(1000);
    rig.host.fs.seed(`${STATIC_PODS}/web.yaml`, 'a: [');
    await rig.advance(21_000);
    expect(mirror()?.status?.phase).toBe('Running');
  });
});
