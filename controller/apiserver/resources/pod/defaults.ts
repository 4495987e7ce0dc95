import type { Pod } from '#api/object/kinds.ts';
import { applySourceDefaults } from '../storage/volume-sources.ts';
import { defaultPodRequests } from './pod-level.ts';
import type { Container, LifecycleHandler, PodSpec, PodTemplateSpec, Probe, Volume } from './pod-types.ts';
import { containersOf } from './pod-types.ts';

/** 0644. */
const DEFAULT_MODE = 420;
const DEFAULT_GRACE_S = 30;
const DEFAULT_TOKEN_EXPIRATION_S = 3600;
const DEFAULT_SCHEDULER = 'default-scheduler';

/** The tag of an image reference; `latest` where neither tag nor digest is given, '' with a digest alone. */
function imageTag(image: string): string {
  const [reference = '', digest] = image.split('@');
  const colon = reference.lastIndexOf(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon > reference.lastIndexOf('/')) return reference.slice(colon + 1);
  return digest === undefined ? 'latest' : '';
}

function applyHttpDefaults(handler: LifecycleHandler | Probe | undefined): void {
  const http = handler?.httpGet;
  if (http === undefined) return;
  http.path ||= '/';
  http.scheme ||= 'HTTP';
}

function applyProbeDefaults(probe: Probe | undefined): void {
  if (probe === undefined) return;
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  applyHttpDefaults(probe);
  if (probe.grpc !== undefined) probe.grpc.service ??= '';
}

function applyContainerDefaults(container: Container): void {
  container.imagePullPolicy ||= imageTag(container.image ?? '') === 'latest' ? 'Always' : 'IfNotPresent';
  container.terminationMessagePath ||= '/dev/termination-log';
  container.terminationMessagePolicy ||= 'File';
  for (const port of container.ports ?? []) port.protocol ||= 'TCP';
  for (const variable of container.env ?? []) {
    const fieldRef = variable.valueFrom?.fieldRef;
    if (fieldRef !== undefined) fieldRef.apiVersion ||= 'v1';
    const fileKeyRef = variable.valueFrom?.fileKeyRef;
    if (fileKeyRef !== undefined) fileKeyRef.optional ??= false;
  }
  applyProbeDefaults(container.livenessProbe);
  applyProbeDefaults(container.readinessProbe);
  applyProbeDefaults(container.startupProbe);
  applyHttpDefaults(container.lifecycle?.postStart);
  applyHttpDefaults(container.lifecycle?.preStop);
}

type Items = readonly { fieldRef?: { apiVersion?: string } }[];

function applyFieldVersions(items: Items | undefined): void {
  for (const { fieldRef } of items ?? []) if (fieldRef !== undefined) fieldRef.apiVersion ||= 'v1';
}

function applyVolumeDefaults(volume: Volume): void {
  if (Object.keys(volume).every((field) => field === 'name')) volume.emptyDir = {};
  if (volume.secret !== undefined) volume.secret.defaultMode ??= DEFAULT_MODE;
  if (volume.configMap !== undefined) volume.configMap.defaultMode ??= DEFAULT_MODE;
  applySourceDefaults(volume);
  if (volume.downwardAPI !== undefined) {
    volume.downwardAPI.defaultMode ??= DEFAULT_MODE;
    applyFieldVersions(volume.downwardAPI.items);
  }
  if (volume.projected !== undefined) {
    volume.projected.defaultMode ??= DEFAULT_MODE;
    for (const source of volume.projected.sources ?? []) {
      applyFieldVersions(source.downwardAPI?.items);
      if (source.serviceAccountToken !== undefined) {
        source.serviceAccountToken.expirationSeconds ||= DEFAULT_TOKEN_EXPIRATION_S;
      }
    }
  }
  if (volume.image !== undefined) {
    volume.image.pullPolicy ||= imageTag(volume.image.reference ?? '') === 'latest' ? 'Always' : 'IfNotPresent';
  }
  if (volume.ephemeral?.volumeClaimTemplate?.spec !== undefined) {
    volume.ephemeral.volumeClaimTemplate.spec.volumeMode ??= 'Filesystem';
  }
}

/** Defaults of pods and of pod templates alike. */
function applySpecDefaults(spec: PodSpec): void {
  spec.dnsPolicy ||= 'ClusterFirst';
  spec.restartPolicy ||= 'Always';
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= DEFAULT_GRACE_S;
  spec.schedulerName ||= DEFAULT_SCHEDULER;
  // The deprecated name of the field is kept equal, as every client reads either.
  spec.serviceAccountName ||= spec.serviceAccount;
  if (spec.serviceAccountName === undefined || spec.serviceAccountName === '') {
    delete spec.serviceAccountName;
    delete spec.serviceAccount;
  } else {
    spec.serviceAccount = spec.serviceAccountName;
  }
  for (const { container } of containersOf(spec, '')) applyContainerDefaults(container);
  for (const volume of spec.volumes ?? []) applyVolumeDefaults(volume);
}

export function applyTemplateDefaults(template: PodTemplateSpec | undefined): void {
  if (template?.spec !== undefined) applySpecDefaults(template.spec);
}

/** A limit without a request is also the request. */
function defaultRequests(container: Container): void {
  const limits = container.resources?.limits;
  if (limits === undefined || container.resources === undefined) return;
  container.resources.requests = { ...limits, ...container.resources.requests };
}

/** In the host's network every container port is a port of the host. */
function defaultHostPorts(container: Container): void {
  for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
}

/** Idempotent: it runs again after admission, which adds volumes and names. */
export function applyPodDefaults(pod: Pod): void {
  const { spec } = pod;
  if (spec === undefined) return;
  applySpecDefaults(spec);
  spec.enableServiceLinks ??= true;
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])]) {
    defaultRequests(container);
    if (spec.hostNetwork) defaultHostPorts(container);
  }
  defaultPodRequests(spec);
}
