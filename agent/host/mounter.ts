import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { foreignHandlePath, openBeneath } from './beneath.ts';
import { ExecError, type Executor, type Mounter, type MountPoint } from './host.ts';

/** `/proc/self/mountinfo`, oldest mount first; octal escapes stand for blanks and backslashes in paths. */
export function parseMountInfo(text: string): MountPoint[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const fields = line.split(' ');
      // After the sixth field come optional fields, ended by a lone dash; then type, source and options.
      const dash = fields.indexOf('-', 6);
      return {
        path: unescapePath(fields[4] ?? ''),
        fsType: fields[dash + 1] ?? '',
        source: unescapePath(fields[dash + 2] ?? ''),
        options: (fields[dash + 3] ?? '').split(','),
      };
    });
}

function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

export function createMounter(exec: Executor): Mounter {
  // Memory is not to end on a disk. Linux before 6.4, and any in a user namespace of its own, refuses to say so.
  let knowsNoSwap = true;
  const list = async () => parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
  return {
    list,
    async mountTmpfs(path, { sizeBytes, mode = 0o777, gid }) {
      const options = [
        `mode=${mode.toString(8)}`,
        ...(gid === undefined ? [] : [`gid=${gid}`]),
        ...(sizeBytes === undefined ? [] : [`size=${sizeBytes}`]),
      ];
      const mount = (more: readonly string[]) =>
        exec.run(['mount', '-t', 'tmpfs', '-o', [...options, ...more].join(','), 'tmpfs', path]);
      if (!knowsNoSwap) {
        await mount([]);
        return;
      }
      try {
        await mount(['noswap']);
      } catch (err) {
        if (!(err instanceof ExecError)) throw err;
        await mount([]);
        knowsNoSwap = false;
      }
    },
    async bind(source, path, readOnly) {
      await exec.run(['mount', '--bind', source, path]);
      // A bind mount takes its flags from the source; only a second step makes it read-only.
      if (readOnly) await exec.run(['mount', '-o', 'remount,bind,ro', path]);
    },
    async mount({ fsType, source, path, options, timeoutMs, inScope = false }) {
      const flags = options.length === 0 ? [] : ['-o', options.join(',')];
      const isSystemd = inScope && (await stat('/run/systemd/system').catch(() => undefined)) !== undefined;
      const scope: [string, ...string[]] = isSystemd ? ['systemd-run', '--scope', '--quiet', '--', 'mount'] : ['mount'];
      await exec.run([...scope, '-t', fsType, ...flags, source, path], timeoutMs === undefined ? {} : { timeoutMs });
    },
    async bindBeneath(root, path, target) {
      const handle = await openBeneath(root, path, { create: true });
      try {
        if ((await list()).some((mount) => mount.path === target)) await exec.run(['umount', '--lazy', target]);
        await mkdir(dirname(target), { recursive: true, mode: 0o750 });
        if ((await handle.stat()).isDirectory()) await mkdir(target, { recursive: true, mode: 0o750 });
        else await writeFile(target, '', { mode: 0o640 });
        // As it is written, or mount(8) would look up where the link leads by now.
        await exec.run(['mount', '--no-canonicalize', '--bind', foreignHandlePath(handle), target]);
      } finally {
        await handle.close();
      }
    },
    async unmount(path) {
      const mounted = (await list()).some((mount) => mount.path === path);
      if (!mounted) return;
      try {
        await exec.run(['umount', path]);
      } catch (err) {
        if (!(err instanceof ExecError) || !/busy/.test(err.stderr)) throw err;
        await exec.run(['umount', '--lazy', path]);
      }
    },
  };
}
