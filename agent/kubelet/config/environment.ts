import type { IContainer } from 'kubernetes-models/v1/Container';
import type { IEnvVarSource } from 'kubernetes-models/v1/EnvVarSource';
import type { ConfigMap, Pod, Secret, Service } from '#api/object/kinds.ts';
import { namespaceOf, specOf } from '../pod-spec.ts';
import { ConfigError } from './config-error.ts';
import { envFileValue } from './env-file.ts';
import { expandReferences } from './expansion.ts';
import { fieldRefValue, type NodeAllocatable, type PodAddresses, resourceFieldValue } from './field-ref.ts';
import { serviceEnvironment, visibleServices } from './service-environment.ts';

/** ConfigMaps and Secrets of the pod's namespace that were asked for; undefined = does not exist. */
export interface SourceObjects {
  readonly configMaps: ReadonlyMap<string, ConfigMap | undefined>;
  readonly secrets: ReadonlyMap<string, Secret | undefined>;
  /** Env files by `volume/path`; undefined = does not exist. */
  readonly files?: ReadonlyMap<string, string | undefined>;
}

/** Env files that a container's variables are read from. */
export function environmentFiles(container: IContainer): { readonly volumeName: string; readonly path: string }[] {
  return (container.env ?? []).flatMap(({ valueFrom }) => {
    const ref = valueFrom?.fileKeyRef;
    return ref === undefined ? [] : [{ volumeName: ref.volumeName, path: ref.path }];
  });
}

export const envFileKey = (volumeName: string, path: string): string => `${volumeName}/${path}`;

export interface EnvironmentInput {
  readonly pod: Pod;
  readonly container: IContainer;
  readonly sources: SourceObjects;
  readonly services: readonly Service[];
  readonly addresses: PodAddresses;
  readonly allocatable: NodeAllocatable;
}

/** Names of the objects that a container's environment reads. */
export function environmentReferences(container: IContainer): { configMaps: string[]; secrets: string[] } {
  const configMaps = new Set<string>();
  const secrets = new Set<string>();
  for (const { configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef?.name) configMaps.add(configMapRef.name);
    if (secretRef?.name) secrets.add(secretRef.name);
  }
  for (const { valueFrom } of container.env ?? []) {
    if (valueFrom?.configMapKeyRef?.name) configMaps.add(valueFrom.configMapKeyRef.name);
    if (valueFrom?.secretKeyRef?.name) secrets.add(valueFrom.secretKeyRef.name);
  }
  return { configMaps: [...configMaps], secrets: [...secrets] };
}

/**
 * The container's variables: `envFrom`, then `env` (which may refer to what came before and to Service variables), then Service
 * variables that nothing else set. Throws ConfigError for what is missing and not optional.
 */
export function computeEnvironment(input: EnvironmentInput): Map<string, string> {
  const { pod, container, services } = input;
  const visible = visibleServices(services, namespaceOf(pod), specOf(pod).enableServiceLinks ?? true);
  const fromServices = serviceEnvironment(visible);
  const result = new Map<string, string>(environmentFrom(input));
  for (const variable of container.env ?? []) {
    const scope = new Map([...fromServices, ...result]);
    const value =
      variable.valueFrom === undefined
        ? expandReferences(variable.value ?? '', scope)
        : valueFrom(input, variable.valueFrom);
    if (value !== undefined) result.set(variable.name, value);
  }
  for (const [name, value] of fromServices) if (!result.has(name)) result.set(name, value);
  return result;
}

function* environmentFrom({ container, sources }: EnvironmentInput): Iterable<[string, string]> {
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef !== undefined) {
      const map = found('configmap', sources.configMaps.get(configMapRef.name ?? ''), configMapRef);
      for (const [key, value] of Object.entries(map?.data ?? {})) if (isName(prefix + key)) yield [prefix + key, value];
    }
    if (secretRef !== undefined) {
      const secret = found('secret', sources.secrets.get(secretRef.name ?? ''), secretRef);
      for (const [key, value] of Object.entries(secret?.data ?? {}))
        if (isName(prefix + key)) yield [prefix + key, decodeBase64(value)];
    }
  }
}

/** What the kernel can carry; stricter names are the API server's business. */
const isName = (name: string) => name !== '' && !name.includes('=') && !name.includes('\0');

/** Variables cannot hold arbitrary bytes: as everywhere in Kubernetes, the value is taken as UTF-8. */
const decodeBase64 = (value: string) => Buffer.from(value, 'base64').toString('utf8');

function found<T>(
  kind: 'configmap' | 'secret',
  object: T | undefined,
  ref: { readonly name?: string; readonly optional?: boolean },
): T | undefined {
  if (object === undefined && ref.optional !== true) throw new ConfigError(`${kind} "${ref.name ?? ''}" not found`);
  return object;
}

/** undefined leaves the variable out. */
function valueFrom(input: EnvironmentInput, source: IEnvVarSource): string | undefined {
  const { pod, container, sources, addresses, allocatable } = input;
  if (source.fieldRef !== undefined) return fieldRefValue(pod, source.fieldRef.fieldPath, addresses);
  if (source.resourceFieldRef !== undefined) {
    const { containerName, resource, divisor } = source.resourceFieldRef;
    const isOther = containerName !== undefined && containerName !== '' && containerName !== container.name;
    const target = isOther ? specOf(pod).containers.find(({ name }) => name === containerName) : container;
    if (target === undefined) throw new ConfigError(`container ${containerName} not found`);
    return resourceFieldValue(target, { resource, ...(divisor === undefined ? {} : { divisor }) }, allocatable);
  }
  if (source.configMapKeyRef !== undefined) {
    const ref = source.configMapKeyRef;
    const map = found('configmap', sources.configMaps.get(ref.name ?? ''), ref);
    return keyOf('ConfigMap', pod, map?.data?.[ref.key], ref);
  }
  if (source.secretKeyRef !== undefined) {
    const ref = source.secretKeyRef;
    const secret = found('secret', sources.secrets.get(ref.name ?? ''), ref);
    const value = keyOf('Secret', pod, secret?.data?.[ref.key], ref);
    return value === undefined ? undefined : decodeBase64(value);
  }
  if (source.fileKeyRef !== undefined) {
    const { volumeName, path, key, optional } = source.fileKeyRef;
    const text = sources.files?.get(envFileKey(volumeName, path));
    const value = text === undefined ? undefined : envFileValue(text, key);
    if (value === undefined && optional !== true)
      throw new ConfigError(
        text === undefined
          ? `couldn't parse env file: environment variable file ${path} of volume ${volumeName} does not exist`
          : `environment variable key "${key}" not found in file "${path}"`,
      );
    return value;
  }
  throw new ConfigError(`unknown source of an environment variable: ${Object.keys(source).join(', ')}`);
}

function keyOf(
  kind: 'ConfigMap' | 'Secret',
  pod: Pod,
  value: string | undefined,
  ref: { readonly name?: string; readonly key: string; readonly optional?: boolean },
): string | undefined {
  if (value === undefined && ref.optional !== true)
    throw new ConfigError(`couldn't find key ${ref.key} in ${kind} ${namespaceOf(pod)}/${ref.name ?? ''}`);
  return value;
}
