import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** What scripts/up would install, and the firewalls of users. */
const PACKAGES = [
  ...['systemd', 'systemd-sysv', 'dbus', 'procps', 'kmod', 'iproute2', 'ca-certificates', 'libatomic1', 'ethtool'],
  ...['containerd', 'runc', 'containernetworking-plugins', 'iptables', 'nftables', 'conntrack', 'busybox-static'],
  ...['ufw', 'firewalld', 'docker.io'],
];

/**
 * The root of a Debian 13 host, from the mirror that this host takes its packages from: 90 s the first time, then found again. Nothing may
 * be written there. Throws where it cannot be made.
 */
export function debianTree(): string {
  const folder = join(tmpdir(), `coracle-test-debian13-${hash(PACKAGES.join())}`);
  if (existsSync(folder)) return folder;
  const work = `${folder}.${process.pid}`;
  try {
    execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', `--include=${PACKAGES.join()}`, 'trixie', work], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return folder;
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);
