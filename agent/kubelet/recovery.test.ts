import { afterEach, expect, test } from 'vitest';
import { KubeletRig } from './testing/kubelet-rig.ts';

let rig: KubeletRig;
afterEach(() => rig.stop());

test('folders and mounts of pods that nothing else remembers go, those of others stay', async () => {
  rig = new KubeletRig();
  const { fs, mounts } = rig.host;
  const folder = '/var/lib/kubelet/pods/forgotten';
  fs.seed(`${folder}/volumes/kubernetes.io~empty-dir/data/file`, 'x');
  await mounts.mountTmpfs(`${folder}/volumes/kubernetes.io~empty-dir/memory`, {});
  fs.seed('/var/log/pods/default_gone_forgotten/app/0.log', 'x');
  await fs.makeDirectory('/var/log/containers');
  await fs.symlink('/var/log/pods/default_gone_forgotten/app/0.log', '/var/log/containers/gone_default_app-1.log');
  await fs.symlink('/elsewhere/default_gone_forgotten/0.log', '/var/log/containers/foreign.log');
  await rig.start();
  const pod = await rig.createPod({ volumes: [{ name: 'v', emptyDir: {} }] });
  await rig.restart();
  expect(await fs.list('/var/lib/kubelet/pods')).toEqual([pod.metadata.uid]);
  expect(await fs.list('/var/log/pods')).toEqual([`default_web_${pod.metadata.uid}`]);
  expect(await fs.list('/var/log/containers')).toEqual(['foreign.log', expect.stringMatching(/^web_default_app-/)]);
  expect(mounts.points.filter(({ path }) => path.startsWith('/var/lib/kubelet/'))).toEqual([]);
});

test('what is left of a pod stays while its processes run, and what cannot be removed is tried again', async () => {
  rig = new KubeletRig();
  const { fs } = rig.host;
  const [running, stuck] = ['0a-running', '0b-stuck'].map((uid) => `/var/lib/kubelet/pods/${uid}`);
  fs.seed(`${running}/volumes/kubernetes.io~empty-dir/data/file`, 'x');
  const processes = '/sys/fs/cgroup/kubepods.slice/kubepods-pod0a_running.slice/pids.current';
  fs.seed(processes, '2\n');
  fs.seed(`${stuck}/file`, 'x');
  const logs = '/var/log/pods/default_gone_0b-stuck';
  fs.seed(`${logs}/app/0.log`, 'x');
  fs.failWith(logs, new Error('EPERM'));
  await rig.start();
  await rig.settle();
  expect([
    await fs.list('/var/lib/kubelet/pods'),
    await fs.info(`${running}/volumes/kubernetes.io~empty-dir/data/file`),
  ]).toEqual([['0a-running'], expect.anything()]);
  fs.failWith(logs, undefined);
  fs.seed(processes, '0\n');
  await rig.advance(60_000);
  expect([await fs.list('/var/lib/kubelet/pods'), await fs.list('/var/log/pods')]).toEqual([[], []]);
});
