import { expect, test } from 'vitest';
import { FakeHost } from '#test/kit/fake-host.ts';
import { ExecError } from '../../host/host.ts';
import { type DeviceMount, formatAndMount } from './format-and-mount.ts';

const NOTHING = new ExecError(['blkid'], 2, '');
const device = (more: Partial<DeviceMount> = {}): DeviceMount => ({
  ...{ source: '/dev/sdx', path: '/p', fsType: 'ext4', mountOptions: [], readOnly: false },
  ...more,
});
const left = new ExecError(['fsck'], 4, '', { stdout: '/dev/sdx: RUN fsck MANUALLY' });

interface Answers {
  readonly blkid: string | ExecError;
  readonly fsck?: ExecError;
  readonly mkfs?: ExecError;
}

async function run(answers: Answers, mount: DeviceMount) {
  const host = new FakeHost();
  host.exec.respond(([program = '']) => {
    if (program === 'blkid') return answers.blkid;
    return program === 'fsck' ? answers.fsck : answers.mkfs;
  });
  const error = await formatAndMount(host, mount).then(
    () => undefined,
    (err: unknown) => err as Error,
  );
  const ran = host.exec.calls.map(({ argv }) => argv.join(' ')).filter((line) => !line.startsWith('blkid'));
  return { ran, isMounted: host.mounts.requests.length > 0, said: error?.message };
}

test.each<readonly [string, Answers, Partial<DeviceMount>, readonly string[]]>([
  ['empty, for ext4', { blkid: NOTHING }, {}, ['mkfs.ext4 -F -m0 /dev/sdx']],
  ['empty, for ext3', { blkid: NOTHING }, { fsType: 'ext3' }, ['mkfs.ext3 -F -m0 /dev/sdx']],
  ['empty, for xfs', { blkid: NOTHING }, { fsType: 'xfs' }, ['mkfs.xfs -f /dev/sdx']],
  ['empty, for another', { blkid: NOTHING }, { fsType: 'btrfs' }, ['mkfs.btrfs /dev/sdx']],
  ['formatted', { blkid: 'TYPE=ext4\n' }, {}, ['fsck -M -a /dev/sdx']],
  ['formatted as another', { blkid: 'TYPE=xfs\n' }, {}, ['fsck -M -a /dev/sdx']],
  ['of partitions', { blkid: 'PTTYPE=gpt\n' }, {}, ['fsck -M -a /dev/sdx']],
  ['formatted, for one that only reads', { blkid: 'TYPE=ext4\n' }, { readOnly: true }, []],
  ['formatted, mounted read-only', { blkid: 'TYPE=ext4\n' }, { mountOptions: ['ro'] }, []],
  [
    'with errors that were put right',
    { blkid: 'TYPE=ext4\n', fsck: new ExecError([], 1, '') },
    {},
    ['fsck -M -a /dev/sdx'],
  ],
  [
    'that could not be looked at',
    { blkid: 'TYPE=ext4\n', fsck: new ExecError([], 8, '') },
    {},
    ['fsck -M -a /dev/sdx'],
  ],
  ['on a host without fsck', { blkid: 'TYPE=ext4\n', fsck: new ExecError([], null, '') }, {}, ['fsck -M -a /dev/sdx']],
])('a device %s is mounted', async (_name, answers, more, ran) => {
  expect(await run(answers, device(more))).toEqual({ ran, isMounted: true, said: undefined });
});

test.each<readonly [string, Answers, Partial<DeviceMount>, readonly string[], string]>([
  [
    'empty, for one that only reads',
    { blkid: NOTHING },
    { readOnly: true },
    [],
    'cannot mount unformatted disk /dev/sdx as we are manipulating it in read-only mode',
  ],
  [
    'with errors that are left',
    { blkid: 'TYPE=ext4\n', fsck: left },
    {},
    ['fsck -M -a /dev/sdx'],
    "'fsck' found errors on device /dev/sdx but could not correct them: /dev/sdx: RUN fsck MANUALLY",
  ],
  [
    'that cannot be formatted',
    { blkid: NOTHING, mkfs: new ExecError(['mkfs.ext4'], 1, 'too small') },
    {},
    ['mkfs.ext4 -F -m0 /dev/sdx'],
    'format of disk "/dev/sdx" failed: type:("ext4") target:("/p")',
  ],
  [
    'of which nobody can say what it is',
    { blkid: new ExecError([], 8, 'ambivalent') },
    {},
    [],
    'failed to get disk format of disk /dev/sdx',
  ],
])('a device %s is left alone', async (_name, answers, more, ran, said) => {
  expect(await run(answers, device(more))).toEqual({ ran, isMounted: false, said });
});
