import type { IContainer } from 'kubernetes-models/v1/Container';
import type { ILifecycleHandler } from 'kubernetes-models/v1/LifecycleHandler';
import type { ISELinuxOptions } from 'kubernetes-models/v1/SELinuxOptions';
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

const APP_ARMOR_PREFIX = 'container.apparmor.security.beta.kubernetes.io/';
const SECCOMP_POD = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER = 'container.seccomp.security.alpha.kubernetes.io/';

const isConfined = (type: string | undefined): boolean => type === 'RuntimeDefault' || type === 'Localhost';

const appArmor: CheckPod = ({ annotations, spec }) => {
  const podType = spec.securityContext?.appArmorProfile?.type;
  const typeOf = (container: IContainer) => container.securityContext?.appArmorProfile?.type;
  const isBad = (type: string | undefined) => type !== undefined && !isConfined(type);
  const containers = badContainers(spec, (container) => isBad(typeOf(container)));
  const bad = Object.entries(annotations)
    .filter(([key, value]) => key.startsWith(APP_ARMOR_PREFIX) && !/^($|runtime\/default$|localhost\/)/.test(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  const types = [podType, ...containersOf(spec).map(typeOf)].filter(isBad) as string[];
  const values = [...sorted(types), ...sorted(bad)];
  if (values.length === 0) return undefined;
  const setters = [settersOf(isBad(podType), containers)].filter((text) => text !== '');
  if (bad.length > 0) setters.push(plural(bad.length, 'annotation'));
  return {
    reason: plural(values.length, 'forbidden AppArmor profile'),
    detail: `${setters.join(' and ')} must not set AppArmor profile type to ${quoteAll(values)}`,
  };
};

const DEFAULT_CAPABILITIES = new Set(
  'AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT'.split(
    ' ',
  ),
);

const capabilities: CheckPod = ({ spec }) => {
  const extra = ({ securityContext }: IContainer) =>
    (securityContext?.capabilities?.add ?? []).filter((name) => !DEFAULT_CAPABILITIES.has(name));
  const containers = badContainers(spec, (container) => extra(container).length > 0);
  if (containers.length === 0) return undefined;
  const names = sorted(containersOf(spec).flatMap(extra));
  return {
    reason: 'non-default capabilities',
    detail: `${namedContainers(containers)} must not include ${quoteAll(names)} in securityContext.capabilities.add`,
  };
};

const hostNamespaces: CheckPod = ({ spec }) => {
  const used = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((field) => spec[field]);
  if (used.length === 0) return undefined;
  return { reason: 'host namespaces', detail: used.map((field) => `${field}=true`).join(', ') };
};

const hostPathVolumes: CheckPod = ({ spec }) => {
  const names = (spec.volumes ?? []).filter(({ hostPath }) => hostPath !== undefined).map(({ name }) => name);
  if (names.length === 0) return undefined;
  return { reason: 'hostPath volumes', detail: `${plural(names.length, 'volume')} ${quoteAll(names)}` };
};

const hostPorts: CheckPod = ({ spec }) => {
  const portsOf = ({ ports }: IContainer) => (ports ?? []).flatMap(({ hostPort }) => (hostPort ? [`${hostPort}`] : []));
  const containers = badContainers(spec, (container) => portsOf(container).length > 0);
  if (containers.length === 0) return undefined;
  const ports = sorted(containersOf(spec).flatMap(portsOf));
  const uses = plural(containers.length, 'uses', 'use');
  return {
    reason: 'hostPort',
    detail: `${namedContainers(containers)} ${uses} ${plural(ports.length, 'hostPort')} ${ports.join(', ')}`,
  };
};

const hostsOfHandler = (handler: ILifecycleHandler | undefined): string[] =>
  [handler?.httpGet?.host, handler?.tcpSocket?.host].filter((host) => host !== undefined && host !== '') as string[];

/** A probe that names a host lets the node ask servers that the pod itself could not reach. */
const hostProbes: CheckPod = ({ spec }) => {
  const hostsOf = ({ livenessProbe, readinessProbe, startupProbe, lifecycle }: IContainer) =>
    [livenessProbe, readinessProbe, startupProbe, lifecycle?.postStart, lifecycle?.preStop].flatMap(hostsOfHandler);
  const containers = sorted(badContainers(spec, (container) => hostsOf(container).length > 0));
  if (containers.length === 0) return undefined;
  const hosts = sorted(containersOf(spec).flatMap(hostsOf));
  const uses = plural(containers.length, 'uses', 'use');
  return {
    reason: 'probe or lifecycle host',
    detail: `${namedContainers(containers)} ${uses} ${plural(hosts.length, 'probe or lifecycle host')} ${quoteAll(hosts)}`,
  };
};

const privileged: CheckPod = ({ spec }) => {
  const containers = badContainers(spec, ({ securityContext }) => securityContext?.privileged === true);
  if (containers.length === 0) return undefined;
  return {
    reason: 'privileged',
    detail: `${namedContainers(containers)} must not set securityContext.privileged=true`,
  };
};

/** /proc with its masks. */
export const defaultProcMount: CheckPod = ({ spec }) => {
  const isBad = (type: string | undefined) => type !== undefined && type !== 'Default';
  const containers = badContainers(spec, ({ securityContext }) => isBad(securityContext?.procMount));
  if (containers.length === 0) return undefined;
  const types = sorted(
    containersOf(spec)
      .map(({ securityContext }) => securityContext?.procMount)
      .filter(isBad) as string[],
  );
  return {
    reason: 'procMount',
    detail: `${namedContainers(containers)} must not set securityContext.procMount to ${quoteAll(types)}`,
  };
};

/** In a user namespace of its own a pod's root is nobody on the node. */
export const unlessOwnUsers =
  (check: CheckPod): CheckPod =>
  (pod) =>
    pod.spec.hostUsers === false ? undefined : check(pod);

const SELINUX_TYPES = ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t'];

const seLinux =
  (allowedTypes: readonly string[]): CheckPod =>
  ({ spec }) => {
    const typeOf = (options: ISELinuxOptions) => options.type ?? '';
    const isBad = (options: ISELinuxOptions | undefined): options is ISELinuxOptions =>
      options !== undefined && (!allowedTypes.includes(typeOf(options)) || !!options.user || !!options.role);
    const pod = spec.securityContext?.seLinuxOptions;
    const ofContainer = (container: IContainer) => container.securityContext?.seLinuxOptions;
    const setters = settersOf(
      isBad(pod),
      badContainers(spec, (container) => isBad(ofContainer(container))),
    );
    if (setters === '') return undefined;
    const bad = [pod, ...containersOf(spec).map(ofContainer)].filter(isBad);
    const types = sorted(bad.map(typeOf).filter((type) => !allowedTypes.includes(type)));
    const findings = types.length > 0 ? [`${plural(types.length, 'type')} ${quoteAll(types)}`] : [];
    if (bad.some(({ user }) => user)) findings.push('user may not be set');
    if (bad.some(({ role }) => role)) findings.push('role may not be set');
    return {
      reason: 'seLinuxOptions',
      detail: `${setters} set forbidden securityContext.seLinuxOptions: ${findings.join('; ')}`,
    };
  };

/** Before Kubernetes 1.19 seccomp was told in annotations. */
const seccompAnnotations: CheckPod = ({ annotations, spec }) => {
  const keys = [SECCOMP_POD, ...containersOf(spec).map(({ name }) => `${SECCOMP_CONTAINER}${name}`)];
  const bad = keys.filter((key) => {
    const value = annotations[key];
    return value !== undefined && !/^(runtime\/default$|docker\/default$|localhost\/)/.test(value);
  });
  if (bad.length === 0) return undefined;
  const shown = sorted(bad.map((key) => `${key}=${JSON.stringify(annotations[key])}`));
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${plural(shown.length, 'annotation')} ${shown.join(', ')}`,
  };
};

/** Nobody asks for no seccomp at all. */
export const noSeccompUnconfined: CheckPod = ({ spec }) => {
  const isBad = (type: string | undefined) => type !== undefined && !isConfined(type);
  const pod = spec.securityContext?.seccompProfile?.type;
  const ofContainer = (container: IContainer) => container.securityContext?.seccompProfile?.type;
  const setters = settersOf(
    isBad(pod),
    badContainers(spec, (container) => isBad(ofContainer(container))),
  );
  if (setters === '') return undefined;
  const types = sorted([pod, ...containersOf(spec).map(ofContainer)].filter(isBad) as string[]);
  return {
    reason: 'seccompProfile',
    detail: `${setters} must not set securityContext.seccompProfile.type to ${quoteAll(types)}`,
  };
};

const SYSCTLS_1_0 =
  'kernel.shm_rmid_forced net.ipv4.ip_local_port_range net.ipv4.tcp_syncookies net.ipv4.ping_group_range net.ipv4.ip_unprivileged_port_start';
const SYSCTLS_1_27 = `${SYSCTLS_1_0} net.ipv4.ip_local_reserved_ports`;
const SYSCTLS_1_29 = `${SYSCTLS_1_27} net.ipv4.tcp_keepalive_time net.ipv4.tcp_fin_timeout net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes`;
const SYSCTLS_1_32 = `${SYSCTLS_1_29} net.ipv4.tcp_rmem net.ipv4.tcp_wmem`;

const sysctls = (allowed: string): CheckPod => {
  const names = new Set(allowed.split(' '));
  return ({ spec }) => {
    const bad = (spec.securityContext?.sysctls ?? []).map(({ name }) => name).filter((name) => !names.has(name));
    return bad.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: bad.join(', ') };
  };
};

const windowsHostProcess: CheckPod = ({ spec }) => {
  const pod = spec.securityContext?.windowsOptions?.hostProcess === true;
  const containers = badContainers(spec, (one) => one.securityContext?.windowsOptions?.hostProcess === true);
  const setters = settersOf(pod, containers);
  if (setters === '') return undefined;
  return { reason: 'hostProcess', detail: `${setters} must not set securityContext.windowsOptions.hostProcess=true` };
};

/** By their names: the order in which violations are told. */
export const BASELINE_CHECKS: readonly Check[] = [
  { id: 'appArmorProfile', versions: [[0, appArmor]] },
  { id: 'capabilities_baseline', versions: [[0, capabilities]] },
  { id: 'hostNamespaces', versions: [[0, hostNamespaces]] },
  { id: 'hostPathVolumes', versions: [[0, hostPathVolumes]] },
  { id: 'hostPorts', versions: [[0, hostPorts]] },
  { id: 'hostProbesAndHostLifecycle', versions: [[34, hostProbes]] },
  { id: 'privileged', versions: [[0, privileged]] },
  {
    id: 'procMount',
    versions: [
      [0, defaultProcMount],
      [35, unlessOwnUsers(defaultProcMount)],
    ],
  },
  {
    id: 'seLinuxOptions',
    versions: [
      [0, seLinux(SELINUX_TYPES.slice(0, 4))],
      [31, seLinux(SELINUX_TYPES)],
    ],
  },
  {
    id: 'seccompProfile_baseline',
    versions: [
      [0, seccompAnnotations],
      [19, noSeccompUnconfined],
    ],
  },
  {
    id: 'sysctls',
    versions: [
      [0, sysctls(SYSCTLS_1_0)],
      [27, sysctls(SYSCTLS_1_27)],
      [29, sysctls(SYSCTLS_1_29)],
      [32, sysctls(SYSCTLS_1_32)],
    ],
  },
  { id: 'windowsHostProcess', versions: [[0, windowsHostProcess]] },
];
