export interface ApiPriority {
  readonly groupPriorityMinimum: number;
  readonly versionPriority: number;
}

/** `groupPriorityMinimum` of Kubernetes' own groups: the order in which discovery lists them and kubectl looks names up. */
const GROUP_PRIORITIES: Readonly<Record<string, number>> = {
  // Registered by nobody, as it is the aggregator's own: it comes first.
  'apiregistration.k8s.io': 20_000,
  '': 18_000,
  apps: 17_800,
  'events.k8s.io': 17_750,
  'authentication.k8s.io': 17_700,
  'authorization.k8s.io': 17_600,
  autoscaling: 17_500,
  batch: 17_400,
  'certificates.k8s.io': 17_300,
  'networking.k8s.io': 17_200,
  policy: 17_100,
  'rbac.authorization.k8s.io': 17_000,
  'storage.k8s.io': 16_800,
  'apiextensions.k8s.io': 16_700,
  'admissionregistration.k8s.io': 16_700,
  'scheduling.k8s.io': 16_600,
  'coordination.k8s.io': 16_500,
  'node.k8s.io': 16_300,
  'discovery.k8s.io': 16_200,
  'resource.k8s.io': 16_200,
  'flowcontrol.apiserver.k8s.io': 16_100,
};

/** Versions that do not have the usual 15. */
const VERSION_PRIORITIES: Readonly<Record<string, number>> = {
  '/v1': 1,
  'autoscaling/v2': 30,
  'flowcontrol.apiserver.k8s.io/v1': 21,
};
const USUAL_VERSION_PRIORITY = 15;

/** Custom kinds come after all others, and are sorted by their versions' names. */
const CUSTOM: ApiPriority = { groupPriorityMinimum: 1_000, versionPriority: 100 };

/** Of built-in groups that are not in the table: behind Kubernetes' own, before custom ones. */
const OTHER_BUILTIN = 10_000;

/** Where a group stands in discovery. */
export function groupPriority(group: string, isBuiltin: boolean): number {
  if (!isBuiltin) return CUSTOM.groupPriorityMinimum;
  return Object.hasOwn(GROUP_PRIORITIES, group) ? GROUP_PRIORITIES[group]! : OTHER_BUILTIN;
}

/** Undefined for groups that are not Kubernetes' own. */
export function builtinPriority(group: string, version: string): ApiPriority | undefined {
  const groupPriorityMinimum = Object.hasOwn(GROUP_PRIORITIES, group) ? GROUP_PRIORITIES[group] : undefined;
  if (groupPriorityMinimum === undefined) return undefined;
  return {
    groupPriorityMinimum,
    versionPriority: VERSION_PRIORITIES[`${group}/${version}`] ?? USUAL_VERSION_PRIORITY,
  };
}

export const priorityOf = (group: string, version: string): ApiPriority => builtinPriority(group, version) ?? CUSTOM;
