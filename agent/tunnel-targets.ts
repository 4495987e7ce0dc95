import type { Pod } from '#api/object/kinds.ts';

/** Addresses in the pod network only: a pod on the host's network has the host's. */
export function podAddresses(pods: readonly Pod[]): ReadonlySet<string> {
  return new Set(
    pods.flatMap(({ spec, status }) =>
      spec?.hostNetwork === true ? [] : (status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []),
    ),
  );
}

/** Ports that pods on the host's network declare: the only ones of the host that the tunnel may lead to. */
export function hostNetworkPorts(pods: readonly Pod[]): ReadonlySet<number> {
  const containers = pods.flatMap(({ spec }) => (spec?.hostNetwork === true ? (spec.containers ?? []) : []));
  return new Set(containers.flatMap(({ ports }) => (ports ?? []).map(({ containerPort }) => containerPort)));
}
