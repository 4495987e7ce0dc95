import type { IHorizontalPodAutoscaler as IAutoscalerV1 } from 'kubernetes-models/autoscaling/v1/HorizontalPodAutoscaler';
import { isJsonObject } from '#api/object/json.ts';
import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { type AutoscalerSpec, applyAutoscalerDefaults } from './defaults.ts';
import {
  flattenMetric,
  flattenStatus,
  type Metric,
  type MetricStatus,
  unflattenMetric,
  unflattenStatus,
} from './v1-metrics.ts';

export type AutoscalerV1 = Stored<IAutoscalerV1>;

/** Where autoscaling/v1 carries what it has no fields for. */
const PREFIX = 'autoscaling.alpha.kubernetes.io/';
const METRICS = `${PREFIX}metrics`;
const BEHAVIOR = `${PREFIX}behavior`;
const CURRENT_METRICS = `${PREFIX}current-metrics`;
const CONDITIONS = `${PREFIX}conditions`;
/** Those of the spec, and those of the status. */
export const SPEC_ANNOTATIONS: readonly string[] = [METRICS, BEHAVIOR];
export const STATUS_ANNOTATIONS: readonly string[] = [CURRENT_METRICS, CONDITIONS];

type Annotations = Readonly<Record<string, string>>;

/** The one metric that v1 has a field for. */
const isCpuShare = ({ type, resource }: Metric): boolean =>
  type === 'Resource' && resource?.name === 'cpu' && resource.target?.averageUtilization !== undefined;

function withoutOurs(annotations: Annotations | undefined): Record<string, string> {
  const ours = new Set([...SPEC_ANNOTATIONS, ...STATUS_ANNOTATIONS]);
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => !ours.has(key)));
}

/** Text that is no JSON says nothing, as in Kubernetes. */
function parse(annotations: Annotations | undefined, key: string): unknown {
  const text = annotations?.[key];
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch (err) {
    if (err instanceof SyntaxError) return undefined;
    throw err;
  }
}

const listOf = (value: unknown): readonly unknown[] | undefined => (Array.isArray(value) ? value : undefined);

function withAnnotations<T extends { annotations?: Record<string, string> }>(
  metadata: T,
  annotations: Record<string, string>,
): T {
  const { annotations: _old, ...rest } = metadata;
  return (Object.keys(annotations).length === 0 ? rest : { ...rest, annotations }) as T;
}

/** autoscaling/v2 as v1 shows it. */
export function toV1(stored: HorizontalPodAutoscaler): AutoscalerV1 {
  const { metadata, spec, status } = stored;
  const annotations = withoutOurs(metadata.annotations);
  const metrics = spec?.metrics ?? [];
  const others = metrics.filter((metric) => !isCpuShare(metric));
  if (others.length > 0) annotations[METRICS] = JSON.stringify(others.map(flattenMetric));
  if (spec?.behavior !== undefined) annotations[BEHAVIOR] = JSON.stringify(spec.behavior);
  const current = status?.currentMetrics ?? [];
  if (current.length > 0) annotations[CURRENT_METRICS] = JSON.stringify(current.map(flattenStatus));
  const conditions = status?.conditions ?? [];
  if (conditions.length > 0) annotations[CONDITIONS] = JSON.stringify(conditions);
  const cpu = metrics.find(isCpuShare)?.resource?.target.averageUtilization;
  const currentCpu = current.find(({ type, resource }) => type === 'Resource' && resource?.name === 'cpu')?.resource
    ?.current.averageUtilization;
  const { metrics: _metrics, behavior: _behavior, ...plainSpec } = (spec ?? {}) as AutoscalerSpec;
  const { currentMetrics: _current, conditions: _conditions, ...plainStatus } = status ?? { desiredReplicas: 0 };
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'HorizontalPodAutoscaler',
    metadata: withAnnotations(metadata, annotations),
    spec: { ...plainSpec, ...(cpu === undefined ? {} : { targetCPUUtilizationPercentage: cpu }) },
    status: {
      currentReplicas: 0,
      ...plainStatus,
      ...(currentCpu === undefined ? {} : { currentCPUUtilizationPercentage: currentCpu }),
    },
  };
}

function specMetrics(spec: AutoscalerV1['spec'], annotations: Annotations | undefined): Metric[] {
  const others = listOf(parse(annotations, METRICS))?.map(unflattenMetric) ?? [];
  const cpu = spec?.targetCPUUtilizationPercentage;
  if (cpu === undefined) return others;
  const target = { type: 'Utilization', averageUtilization: cpu };
  return [...others, { type: 'Resource', resource: { name: 'cpu', target } }];
}

function statusMetrics(status: AutoscalerV1['status'], annotations: Annotations | undefined): MetricStatus[] {
  const known = listOf(parse(annotations, CURRENT_METRICS));
  if (known !== undefined) return known.map(unflattenStatus);
  const cpu = status?.currentCPUUtilizationPercentage;
  if (cpu === undefined) return [];
  return [{ type: 'Resource', resource: { name: 'cpu', current: { averageUtilization: cpu } } }];
}

/** The way back: fields first, then what the annotations add. */
export function fromV1(face: AutoscalerV1): HorizontalPodAutoscaler {
  const { metadata, spec, status } = face;
  const { annotations } = metadata;
  const { targetCPUUtilizationPercentage: _cpu, ...plainSpec } = spec ?? {};
  const { currentCPUUtilizationPercentage: _current, ...plainStatus } = status ?? {};
  const metrics = specMetrics(spec, annotations);
  const currentMetrics = statusMetrics(status, annotations);
  const behavior = parse(annotations, BEHAVIOR);
  const conditions = listOf(parse(annotations, CONDITIONS));
  const stored = {
    apiVersion: 'autoscaling/v2',
    kind: 'HorizontalPodAutoscaler',
    metadata: withAnnotations(metadata, withoutOurs(annotations)),
    spec: {
      ...plainSpec,
      ...(metrics.length === 0 ? {} : { metrics }),
      ...(isJsonObject(behavior) ? { behavior } : {}),
    },
    status: {
      ...plainStatus,
      ...(currentMetrics.length === 0 ? {} : { currentMetrics }),
      ...(conditions === undefined ? {} : { conditions }),
    },
  } as unknown as HorizontalPodAutoscaler;
  applyAutoscalerDefaults(stored);
  return stored;
}
