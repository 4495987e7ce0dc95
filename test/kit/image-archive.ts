import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type ArchiveEntry, renderDockerArchive } from '#agent/host/docker-archive.ts';

/** Image that the tests run: busybox and its applets, `sleep infinity` by default. */
export const BUSYBOX_IMAGE = 'coracle.test/busybox:1';

const BUSYBOX = '/bin/busybox';

export function renderBusyboxArchive(name = BUSYBOX_IMAGE): Uint8Array {
  return renderDockerArchive({
    name,
    architecture: goArchitecture(),
    entries: busyboxEntries(),
    command: ['sleep', 'infinity'],
  });
}

/** The processor, as images name it. */
export const goArchitecture = (): string => (process.arch === 'x64' ? 'amd64' : process.arch);

/** Files of an image with Debian's busybox-static; throws where it is missing. */
export function busyboxEntries(): ArchiveEntry[] {
  const applets = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const folders: ArchiveEntry[] = ['bin/', 'etc/', 'root/', 'tmp/'].map((path) => ({
    path,
    mode: path === 'tmp/' ? 0o1777 : 0o755,
    content: '',
  }));
  const links: ArchiveEntry[] = applets
    .filter((applet) => applet !== 'busybox' && /^[\w[-]+$/.test(applet))
    .map((applet) => ({ path: `bin/${applet}`, linkTarget: 'busybox' }));
  return [
    ...folders,
    { path: 'bin/busybox', mode: 0o755, content: readFileSync(BUSYBOX) },
    ...links,
    {
      path: 'etc/passwd',
      mode: 0o644,
      content: 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    },
    { path: 'etc/group', mode: 0o644, content: 'root:x:0:\ngames:x:60:nobody\nnogroup:x:65534:\n' },
  ];
}
