import type { IContainer } from 'kubernetes-models/v1/Container';
import type { Pod } from '#api/object/kinds.ts';
import { containersOf } from './check.ts';

const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';

/**
 * True when an update of a pod could change what the pod may do: another image, other seccomp annotations, a container more or less. All
 * else of what matters cannot be changed, so that pods which were there before a rule can still be labelled and finalized.
 */
export function isSignificantUpdate(pod: Pod, old: Pod): boolean {
  if (pod.spec === undefined || old.spec === undefined) return true;
  const annotationOf = ({ metadata }: Pod, key: string) => metadata.annotations?.[key];
  const differs = (key: string) => annotationOf(pod, key) !== annotationOf(old, key);
  if (differs(SECCOMP_POD)) return true;
  const [now, before] = [containersOf(pod.spec), containersOf(old.spec)];
  if (now.length !== before.length) return true;
  const known = new Map<string, IContainer>(before.map((container) => [container.name, container]));
  return now.some(({ name, image }) => known.get(name)?.image !== image || differs(`${SECCOMP_CONTAINER}${name}`));
}
