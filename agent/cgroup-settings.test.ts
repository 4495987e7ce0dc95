import { expect, test } from 'vitest';
import { silentLogger } from '#base/logger.ts';
import { FakeHost } from '#test/kit/fake-host.ts';
import { readCgroupSettings } from './cgroup-settings.ts';

type Driver = 'systemd' | 'cgroupfs';

test.each<
  [string, { cri?: string; config?: string; told?: Driver | Error; isSystemd?: boolean; version?: 1 | 2 }, Driver]
>([
  ['our own, where systemd manages version 2', {}, 'systemd'],
  ['our own, on version 1', { version: 1 }, 'cgroupfs'],
  ['our own, without systemd', { isSystemd: false }, 'cgroupfs'],
  ['another that tells', { cri: 'unix:///x', told: 'cgroupfs', config: 'systemd' }, 'cgroupfs'],
  ['another that does not tell', { cri: 'unix:///x', config: 'cgroupfs' }, 'cgroupfs'],
  ['another that does not tell, nor does anybody', { cri: 'unix:///x' }, 'systemd'],
  ['another that does not answer', { cri: 'unix:///x', told: new Error('away'), config: 'cgroupfs' }, 'cgroupfs'],
])(
  'the cgroup driver of a runtime: %s',
  async (_name, { cri = '', config = 'auto', told, isSystemd = true, version = 2 }, expected) => {
    const host = new FakeHost();
    host.cgroupVersion = version;
    if (isSystemd) host.fs.seed('/run/systemd/system/x', '');
    const cgroupDriver = async () => {
      if (told instanceof Error) throw told;
      return told;
    };
    const options = {
      config: { criEndpoint: cri, cgroupDriver: config },
      host,
      runtime: { cgroupDriver },
      log: silentLogger,
    };
    expect(await readCgroupSettings(options)).toEqual({ driver: expected, root: '/' });
  },
);

test('a runtime that is not up yet is asked again', async () => {
  let isUp = false;
  const cgroupDriver = async () => {
    if (!isUp) throw new Error('away');
    return 'cgroupfs' as const;
  };
  const pause = async () => {
    isUp = true;
  };
  const config = { criEndpoint: 'unix:///x', cgroupDriver: 'systemd' };
  const options = { config, host: new FakeHost(), runtime: { cgroupDriver }, log: silentLogger, pause };
  expect((await readCgroupSettings(options)).driver).toBe('cgroupfs');
});
