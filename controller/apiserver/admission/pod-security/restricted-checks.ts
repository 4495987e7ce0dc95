import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IVolume } from 'kubernetes-models/v1/Volume';
import { defaultProcMount, noSeccompUnconfined, unlessOwnUsers } from './baseline-checks.ts';
import {
  badContainers,
  type Check,
  type CheckPod,
  containersOf,
  namedContainers,
  plural,
  quoteAll,
  settersOf,
  sorted,
} from './check.ts';

/** Controls of Linux mean nothing to a pod of another system; asked for since nodes tell the systems apart. */
const unlessWindows =
  (check: CheckPod): CheckPod =>
  (pod) =>
    pod.spec.os?.name === 'windows' ? undefined : check(pod);

const noPrivilegeEscalation: CheckPod = ({ spec }) => {
  const containers = badContainers(spec, ({ securityContext }) => securityContext?.allowPrivilegeEscalation !== false);
  if (containers.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${namedContainers(containers)} must set securityContext.allowPrivilegeEscalation=false`,
  };
};

const allCapabilitiesDropped: CheckPod = ({ spec }) => {
  const kept = badContainers(spec, (one) => !one.securityContext?.capabilities?.drop?.includes('ALL'));
  const extra = ({ securityContext }: IContainer) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE');
  const adding = badContainers(spec, (container) => extra(container).length > 0);
  const findings: string[] = [];
  if (kept.length > 0) findings.push(`${namedContainers(kept)} must set securityContext.capabilities.drop=["ALL"]`);
  if (adding.length > 0) {
    const names = quoteAll(sorted(containersOf(spec).flatMap(extra)));
    findings.push(`${namedContainers(adding)} must not include ${names} in securityContext.capabilities.add`);
  }
  return findings.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: findings.join('; ') };
};

const HARMLESS_VOLUMES = 'configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret'.split(
  ' ',
);
/** Younger than the rule, which does not know them. */
const UNNAMED_VOLUMES = ['name', 'image'];

/** The field that says what kind of volume this is. */
const volumeType = (volume: IVolume): string =>
  Object.keys(volume).find((key) => !UNNAMED_VOLUMES.includes(key) && volume[key as keyof IVolume] !== undefined) ??
  'unknown';

const volumeTypes: CheckPod = ({ spec }) => {
  const bad = (spec.volumes ?? []).filter((volume) => !HARMLESS_VOLUMES.includes(volumeType(volume)));
  if (bad.length === 0) return undefined;
  const types = sorted(bad.map(volumeType));
  const names = `${plural(bad.length, 'volume')} ${quoteAll(bad.map(({ name }) => name))}`;
  const uses = `${plural(bad.length, 'uses', 'use')} ${plural(types.length, 'restricted volume type')}`;
  return { reason: 'restricted volume types', detail: `${names} ${uses} ${quoteAll(types)}` };
};

const notRoot: CheckPod = ({ spec }) => {
  const pod = spec.securityContext?.runAsNonRoot;
  const saidNo = badContainers(spec, ({ securityContext }) => securityContext?.runAsNonRoot === false);
  const reason = 'runAsNonRoot != true';
  const setters = settersOf(pod === false, saidNo);
  if (setters !== '') return { reason, detail: `${setters} must not set securityContext.runAsNonRoot=false` };
  if (pod === true) return undefined;
  const silent = badContainers(spec, ({ securityContext }) => securityContext?.runAsNonRoot === undefined);
  if (silent.length === 0) return undefined;
  return { reason, detail: `pod or ${namedContainers(silent)} must set securityContext.runAsNonRoot=true` };
};

const notUserZero: CheckPod = ({ spec }) => {
  const containers = badContainers(spec, ({ securityContext }) => securityContext?.runAsUser === 0);
  const setters = settersOf(spec.securityContext?.runAsUser === 0, containers);
  return setters === '' ? undefined : { reason: 'runAsUser=0', detail: `${setters} must not set runAsUser=0` };
};

const seccompSet: CheckPod = (pod) => {
  const violation = noSeccompUnconfined(pod);
  const { spec } = pod;
  if (violation !== undefined || spec.securityContext?.seccompProfile !== undefined) return violation;
  const silent = badContainers(spec, ({ securityContext }) => securityContext?.seccompProfile === undefined);
  if (silent.length === 0) return undefined;
  const must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"';
  return { reason: 'seccompProfile', detail: `pod or ${namedContainers(silent)} ${must}` };
};

/** By their names: the order in which violations are told, behind those of the baseline. */
export const RESTRICTED_CHECKS: readonly Check[] = [
  {
    id: 'allowPrivilegeEscalation',
    versions: [
      [8, noPrivilegeEscalation],
      [25, unlessWindows(noPrivilegeEscalation)],
    ],
  },
  {
    id: 'capabilities_restricted',
    overrides: ['capabilities_baseline'],
    versions: [
      [22, allCapabilitiesDropped],
      [25, unlessWindows(allCapabilitiesDropped)],
    ],
  },
  { id: 'procMount_restricted', overrides: ['procMount'], versions: [[35, defaultProcMount]] },
  { id: 'restrictedVolumes', overrides: ['hostPathVolumes'], versions: [[0, volumeTypes]] },
  { id: 'runAsNonRoot', versions: [[0, unlessOwnUsers(notRoot)]] },
  { id: 'runAsUser', versions: [[23, unlessOwnUsers(notUserZero)]] },
  {
    id: 'seccompProfile_restricted',
    overrides: ['seccompProfile_baseline'],
    versions: [
      [19, seccompSet],
      [25, unlessWindows(seccompSet)],
    ],
  },
];
