import { portName } from '#api/meta/names.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  missing,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import { PROTOCOLS, validateDnsLabel, validateOneOf, validatePort } from '../validation/format.ts';
import { validateEnv, validateEnvFrom } from './env.ts';
import { type VolumesByName, validateDevices, validateMounts } from './mounts.ts';
import { type Container, type EphemeralContainer, isRestartableInit, type PodSpec } from './pod-types.ts';
import { validateInitProbes, validateProbes } from './probes.ts';
import { type ResourceRequirements, validateResources } from './resource-requirements.ts';
import { validateResizePolicy, validateRestartRules, validateStopSignal } from './restart-rules.ts';
import { validateSecurityContext } from './security.ts';

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'];
const MESSAGE_POLICIES = ['FallbackToLogsOnError', 'File'];

type Port = NonNullable<Container['ports']>[number];

function validateContainerPort(port: Port, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (!port.containerPort) errors.push(required(`${path}.containerPort`));
  else errors.push(...validatePort(port.containerPort, `${path}.containerPort`));
  if (port.hostPort) errors.push(...validatePort(port.hostPort, `${path}.hostPort`));
  if (!port.protocol) errors.push(required(`${path}.protocol`));
  else if (!PROTOCOLS.includes(port.protocol)) errors.push(notSupported(`${path}.protocol`, port.protocol, PROTOCOLS));
  return errors;
}

function validatePorts(ports: readonly Port[] | undefined, path: string): FieldError[] {
  const names = new Set<string>();
  return (ports ?? []).flatMap((port, i) => {
    const at = `${path}[${i}]`;
    const errors: FieldError[] = [];
    if (port.name) {
      const wrong = portName(port.name).map((message) => invalid(`${at}.name`, port.name, message));
      errors.push(...wrong);
      if (wrong.length === 0 && names.has(port.name)) errors.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    return [...errors, ...validateContainerPort(port, at)];
  });
}

function validateImage(image: string | undefined, path: string): FieldError[] {
  if (!image) return [required(path)];
  return image === image.trim() ? [] : [invalid(path, image, 'must not have leading or trailing whitespace')];
}

/** What the containers of one pod share in validation. */
export interface ContainerScope {
  readonly spec: PodSpec;
  readonly volumes: VolumesByName;
  /** Names of its resource claims. */
  readonly claims: ReadonlySet<string>;
}

/** What holds for every container, whatever its role. */
function validateCommon(container: Container, path: string, scope: ContainerScope): FieldError[] {
  const { name, terminationMessagePolicy } = container;
  return [
    ...(name ? validateDnsLabel(name, `${path}.name`) : [required(`${path}.name`)]),
    ...validateImage(container.image, `${path}.image`),
    ...validateOneOf(terminationMessagePolicy, MESSAGE_POLICIES, `${path}.terminationMessagePolicy`),
    ...validatePorts(container.ports, `${path}.ports`),
    ...validateEnv(container.env, `${path}.env`),
    ...validateEnvFrom(container.envFrom, `${path}.envFrom`),
    ...validateMounts(container, path, scope.volumes),
    ...validateDevices(container, path, scope.volumes),
    ...validateResizePolicy(container, path, scope.spec.restartPolicy),
    ...validateOneOf(container.imagePullPolicy, PULL_POLICIES, `${path}.imagePullPolicy`),
    ...validateResources(container.resources as ResourceRequirements | undefined, `${path}.resources`, scope.claims),
    ...validateSecurityContext(container.securityContext, `${path}.securityContext`, scope.spec.hostUsers),
  ];
}

/** Two containers cannot hold one port of the host. */
function validateHostPorts(containers: readonly Container[], path: string): FieldError[] {
  const taken = new Set<string>();
  return containers.flatMap((container, i) =>
    (container.ports ?? []).flatMap((port, j) => {
      if (!port.hostPort) return [];
      const key = `${port.protocol}/${port.hostIP ?? ''}/${port.hostPort}`;
      if (taken.has(key)) return [duplicate(`${path}[${i}].ports[${j}].hostPort`, key)];
      taken.add(key);
      return [];
    }),
  );
}

function validateInitContainer(container: Container, path: string, scope: ContainerScope): FieldError[] {
  return [
    ...validateCommon(container, path, scope),
    ...validateInitProbes(container, path, scope.spec.terminationGracePeriodSeconds),
    ...validateRestartRules(container, path),
    ...validateStopSignal(container, path, scope.spec.os?.name),
    ...(isRestartableInit(container) ? [] : validateHostPorts([container], path)),
  ];
}

/** All containers, their names unique over all roles. */
export function validateContainers(scope: ContainerScope, path: string): FieldError[] {
  const { spec } = scope;
  const names = new Set<string>();
  const unique = (name: string | undefined, at: string): FieldError[] => {
    if (!name) return [];
    if (names.has(name)) return [duplicate(`${at}.name`, name)];
    names.add(name);
    return [];
  };
  const containers = spec.containers ?? [];
  if (containers.length === 0) return [required(`${path}.containers`)];
  const errors = containers.flatMap((container, i) => {
    const at = `${path}.containers[${i}]`;
    return [
      ...validateCommon(container, at, scope),
      ...unique(container.name, at),
      ...validateProbes(container, at, spec.terminationGracePeriodSeconds),
      ...validateRestartRules(container, at),
      ...validateStopSignal(container, at, spec.os?.name),
    ];
  });
  errors.push(...validateHostPorts(containers, `${path}.containers`));
  for (const [i, container] of (spec.initContainers ?? []).entries()) {
    const at = `${path}.initContainers[${i}]`;
    errors.push(...validateInitContainer(container, at, scope), ...unique(container.name, at));
  }
  for (const [i, container] of (spec.ephemeralContainers ?? []).entries()) {
    const at = `${path}.ephemeralContainers[${i}]`;
    errors.push(...validateEphemeral(container, at, scope), ...unique(container.name, at));
  }
  return errors;
}

/** A debugging guest has no ports, no resources, no probes. */
const NOT_FOR_EPHEMERAL = [
  'ports',
  'livenessProbe',
  'readinessProbe',
  'startupProbe',
  'lifecycle',
  'resources',
  'resizePolicy',
  'restartPolicy',
  'restartPolicyRules',
] as const satisfies readonly (keyof EphemeralContainer)[];

function isGiven(value: unknown): boolean {
  return typeof value === 'object' && value !== null ? Object.keys(value).length > 0 : Boolean(value);
}

function validateEphemeral(container: EphemeralContainer, path: string, scope: ContainerScope): FieldError[] {
  const errors = validateCommon(container as Container, path, scope);
  for (const field of NOT_FOR_EPHEMERAL) {
    if (isGiven(container[field])) {
      errors.push(forbiddenField(`${path}.${field}`, 'cannot be set for an Ephemeral Container'));
    }
  }
  for (const [i, mount] of (container.volumeMounts ?? []).entries()) {
    for (const field of ['subPath', 'subPathExpr'] as const) {
      if (mount[field]) {
        const at = `${path}.volumeMounts[${i}].${field}`;
        errors.push(forbiddenField(at, 'cannot be set for an Ephemeral Container'));
      }
    }
  }
  const target = container.targetContainerName;
  if (target && !(scope.spec.containers ?? []).some(({ name }) => name === target)) {
    errors.push(missing(`${path}.targetContainerName`, target));
  }
  return errors;
}
