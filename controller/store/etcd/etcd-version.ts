const RELEASE = /^(\d+)\.(\d+)\.(\d+)/;

/** Watches in fragments, and with progress on request, exist from 3.4 on. A version that cannot be read is given a try. */
export function isSupported(version: string): boolean {
  const [, major, minor] = RELEASE.exec(version) ?? [];
  return major === undefined || Number(major) > 3 || (Number(major) === 3 && Number(minor) >= 4);
}

const SAFE_FROM: Readonly<Record<string, number>> = { '3.4': 31, '3.5': 13 };

/**
 * Whether a server of this version answers a request for progress only after the events before it: earlier ones may promise that nothing
 * is missing while events are still on their way. Safe from 3.4.31, 3.5.13 and 3.6 on. A version that cannot be read counts as old.
 */
export function hasSafeProgress(version: string): boolean {
  const match = RELEASE.exec(version);
  if (match === null) return false;
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number];
  const from = SAFE_FROM[`${major}.${minor}`];
  return from === undefined ? major > 3 || (major === 3 && minor > 5) : patch >= from;
}
