import { Quantity } from '#api/meta/quantity.ts';
import type { Container, PodSpec, PodTemplateSpec } from './pod-types.ts';
import { containersOf } from './pod-types.ts';

interface PodLike {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } | undefined;
  readonly spec?: PodSpec | undefined;
}

/** Labels of nodes that have had another name since. */
const OLD_NODE_LABELS: Readonly<Record<string, string>> = {
  'beta.kubernetes.io/arch': 'deprecated since v1.14; use "kubernetes.io/arch" instead',
  'beta.kubernetes.io/os': 'deprecated since v1.14; use "kubernetes.io/os" instead',
  'failure-domain.beta.kubernetes.io/region': 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
  'failure-domain.beta.kubernetes.io/zone': 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
  'beta.kubernetes.io/instance-type': 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
};

/** Kinds of volumes that no node mounts any more. */
const OLD_VOLUMES: Readonly<Record<string, string>> = {
  cephfs: 'deprecated in v1.28, non-functional in v1.31+',
  gitRepo: 'deprecated in v1.11, and disabled by default in v1.33+',
  glusterfs: 'deprecated in v1.25, non-functional in v1.26+',
  photonPersistentDisk: 'deprecated in v1.11, non-functional in v1.16+',
  rbd: 'deprecated in v1.28, non-functional in v1.31+',
  scaleIO: 'deprecated in v1.16, non-functional in v1.22+',
  storageos: 'deprecated in v1.22, non-functional in v1.25+',
};

const OLD_ANNOTATIONS: Readonly<Record<string, string>> = {
  'scheduler.alpha.kubernetes.io/critical-pod': 'non-functional in v1.16+; use the "priorityClassName" field instead',
  'security.alpha.kubernetes.io/sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'security.alpha.kubernetes.io/unsafe-sysctls': 'non-functional in v1.11+; use the "sysctls" field instead',
  'seccomp.security.alpha.kubernetes.io/pod': 'non-functional in v1.27+; use the "seccompProfile" field instead',
};
const OLD_SECCOMP_PREFIX = 'container.seccomp.security.alpha.kubernetes.io/';

function annotationWarnings(annotations: Readonly<Record<string, string>>, path: string): string[] {
  return Object.keys(annotations).flatMap((key) => {
    const why = key.startsWith(OLD_SECCOMP_PREFIX)
      ? 'non-functional in v1.27+; use the "seccompProfile" field instead'
      : Object.hasOwn(OLD_ANNOTATIONS, key)
        ? OLD_ANNOTATIONS[key]
        : undefined;
    return why === undefined ? [] : [`${path}[${key}]: ${why}`];
  });
}

function nodeLabelWarnings(key: string | undefined, path: string): string[] {
  return key !== undefined && Object.hasOwn(OLD_NODE_LABELS, key) ? [`${path}: ${OLD_NODE_LABELS[key]}`] : [];
}

function placementWarnings(spec: PodSpec, path: string): string[] {
  const affinity = spec.affinity?.nodeAffinity;
  const at = `${path}.affinity.nodeAffinity`;
  const terms = [
    ...(affinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? []).map((term, i) => ({
      term,
      path: `${at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[${i}]`,
    })),
    ...(affinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map(({ preference }, i) => ({
      term: preference,
      path: `${at}.preferredDuringSchedulingIgnoredDuringExecution[${i}].preference`,
    })),
  ];
  return [
    ...Object.keys(spec.nodeSelector ?? {}).flatMap((key) => nodeLabelWarnings(key, `${path}.nodeSelector[${key}]`)),
    ...terms.flatMap(({ term, path: where }) =>
      (term?.matchExpressions ?? []).flatMap(({ key }, i) =>
        nodeLabelWarnings(key, `${where}.matchExpressions[${i}].key`),
      ),
    ),
    ...(spec.topologySpreadConstraints ?? []).flatMap(({ topologyKey }, i) =>
      nodeLabelWarnings(topologyKey, `${path}.topologySpreadConstraints[${i}].topologyKey`),
    ),
  ];
}

/** A thousandth of a byte is what comes of writing `500m` for 500 MiB. */
function fractionWarnings(container: Container, path: string): string[] {
  return (['requests', 'limits'] as const).flatMap((list) =>
    (['ephemeral-storage', 'memory'] as const).flatMap((name) => {
      const value = container.resources?.[list]?.[name];
      if (value === undefined || Quantity.parse(value as string | number).nano % 1_000_000_000n === 0n) return [];
      return [
        `${path}.resources.${list}[${name}]: fractional byte value ${JSON.stringify(String(value))} is invalid, must be an integer`,
      ];
    }),
  );
}

function containerWarnings(container: Container, path: string): string[] {
  const names = new Set<string>();
  const hidden = (container.env ?? []).flatMap(({ name }, i) => {
    const isHidden = names.has(name);
    names.add(name);
    return isHidden
      ? [
          `${path}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`,
        ]
      : [];
  });
  const ports = new Map<string, number>();
  const doubled = (container.ports ?? []).flatMap(({ containerPort, protocol, hostIP = '', hostPort = 0 }, i) => {
    const identity = `${protocol}/${containerPort}/${hostIP}/${hostPort}`;
    const first = ports.get(identity);
    if (first === undefined) ports.set(identity, i);
    return first === undefined ? [] : [`${path}.ports[${i}]: duplicate port definition with ${path}.ports[${first}]`];
  });
  return [...hidden, ...doubled, ...fractionWarnings(container, path)];
}

function listWarnings(spec: PodSpec, path: string): string[] {
  const secrets = new Set<string>();
  return [
    ...(spec.imagePullSecrets ?? []).flatMap(({ name }, i) => {
      const at = `${path}.imagePullSecrets[${i}].name`;
      if (!name) return [`${at}: invalid empty name ""`];
      const isDouble = secrets.has(name);
      secrets.add(name);
      return isDouble ? [`${at}: duplicate name ${JSON.stringify(name)}`] : [];
    }),
    ...(spec.volumes ?? []).flatMap((volume, i) =>
      Object.keys(volume).flatMap((kind) =>
        Object.hasOwn(OLD_VOLUMES, kind) ? [`${path}.volumes[${i}].${kind}: ${OLD_VOLUMES[kind]}`] : [],
      ),
    ),
  ];
}

function computeWarnings(
  { metadata, spec }: PodLike,
  paths: { readonly metadata: string; readonly spec: string },
): string[] {
  if (spec === undefined) return [];
  const grace = spec.terminationGracePeriodSeconds;
  return [
    ...placementWarnings(spec, paths.spec),
    ...annotationWarnings(metadata?.annotations ?? {}, `${paths.metadata}.annotations`),
    ...listWarnings(spec, paths.spec),
    ...[...containersOf(spec, paths.spec)].flatMap(({ container, path }) => containerWarnings(container, path)),
    ...(grace !== undefined && grace < 0
      ? [
          `${paths.spec}.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1`,
        ]
      : []),
  ];
}

/** What is doubtful about a new pod. */
export function podWarnings(pod: PodLike): string[] {
  return computeWarnings(pod, { metadata: 'metadata', spec: 'spec' });
}

/** What is doubtful about the template of a workload; of a changed one only what is new. */
export function templateWarnings(
  template: PodTemplateSpec | undefined,
  old: PodTemplateSpec | undefined,
  path: string,
): string[] {
  const paths = { metadata: `${path}.metadata`, spec: `${path}.spec` };
  const found = computeWarnings(template ?? {}, paths);
  if (found.length === 0 || old === undefined) return found;
  const known = new Set(computeWarnings(old, paths));
  return found.filter((warning) => !known.has(warning));
}
