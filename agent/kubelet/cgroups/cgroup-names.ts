import type { QosClass } from '#api/meta/pod-resources.ts';
import type { Pod } from '#api/object/kinds.ts';
import { qosClassOf } from '../pod-spec.ts';

export type CgroupDriver = 'cgroupfs' | 'systemd';

export interface CgroupSettings {
  readonly driver: CgroupDriver;
  /** `/` or the subtree that all pods live in, e.g. `/node-1`; cgroupfs only. */
  readonly root: string;
}

/** Path elements below the root: `['kubepods', 'burstable', 'pod<uid>']`; Guaranteed pods sit directly in kubepods. */
function elements(qos: QosClass, uid: string): string[] {
  const middle = qos === 'Guaranteed' ? [] : [qos.toLowerCase()];
  return ['kubepods', ...middle, `pod${uid}`];
}

/** `cgroup_parent` of the pod as CRI wants it for the driver: a path, or the name of the innermost slice. */
export function podCgroupParent(pod: Pod, settings: CgroupSettings): string {
  const parts = elements(qosClassOf(pod), pod.metadata.uid);
  if (settings.driver === 'systemd') return sliceName(parts);
  return `${settings.root === '/' ? '' : settings.root}/${parts.join('/')}`;
}

/** In slice names `-` means nesting, so the dashes of a UID become underscores. */
const sliceName = (parts: readonly string[]) => `${parts.map((part) => part.replaceAll('-', '_')).join('-')}.slice`;

/** The cgroup above all pods, relative to the mount point of a hierarchy. */
export function podsCgroupPath({ driver, root }: CgroupSettings): string {
  return driver === 'systemd' ? '/kubepods.slice' : `${root === '/' ? '' : root}/kubepods`;
}

/** The cgroup of a class, relative to the mount point of a hierarchy; Guaranteed pods have none of their own. */
export function qosCgroupPath(qos: 'Burstable' | 'BestEffort', settings: CgroupSettings): string {
  const parts = ['kubepods', qos.toLowerCase()];
  return `${podsCgroupPath(settings)}/${settings.driver === 'systemd' ? sliceName(parts) : parts[1]}`;
}

/** Where the pod's cgroup is in each hierarchy, relative to its mount point. */
export function podCgroupPath(pod: Pod, settings: CgroupSettings): string {
  const parts = elements(qosClassOf(pod), pod.metadata.uid);
  if (settings.driver === 'cgroupfs') return podCgroupParent(pod, settings);
  return slicePath(parts);
}

const slicePath = (parts: readonly string[]) =>
  `/${parts.map((_, index) => sliceName(parts.slice(0, index + 1))).join('/')}`;

/** Where the cgroup of a pod may be of which nothing but the UID is known: of each class, by each driver. */
export function possibleCgroupPaths(uid: string, root: string): string[] {
  const classes = (['Guaranteed', 'Burstable', 'BestEffort'] as const).map((qos) => elements(qos, uid));
  return classes.flatMap((parts) => [`${root === '/' ? '' : root}/${parts.join('/')}`, slicePath(parts)]);
}
