import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';
import { age, NONE, UNKNOWN } from '../printing/cells.ts';
import { ageColumn, nameColumn, text } from '../printing/columns.ts';
import type { AutoscalerSpec } from './defaults.ts';

type Metric = NonNullable<AutoscalerSpec['metrics']>[number];
type Current = NonNullable<NonNullable<HorizontalPodAutoscaler['status']>['currentMetrics']>[number];
/** What specs and statuses of metrics say of an amount. */
interface Amount {
  readonly value?: unknown;
  readonly averageValue?: unknown;
  readonly averageUtilization?: number;
}

const MAX_SHOWN = 2;

export const autoscalerColumns = [
  nameColumn,
  text('Reference', 'What is scaled.'),
  text('Targets', 'Metrics: where they are and where they should be.'),
  text('MinPods', 'Least number of pods.'),
  text('MaxPods', 'Greatest number of pods.'),
  text('Replicas', 'Number of pods that exist.'),
  ageColumn,
];

const percent = (value: number): string => `${value}%`;

function pair(target: Amount | undefined, current: Amount | undefined, isAverage: boolean): string {
  const key = isAverage ? 'averageValue' : 'value';
  const now = current?.[key];
  const suffix = isAverage ? ' (avg)' : '';
  return `${now === undefined ? UNKNOWN : String(now)}/${String(target?.[key] ?? '')}${suffix}`;
}

/** Usage of a resource, as a share where the target is one. */
function usage(name: string, target: Amount | undefined, current: Amount | undefined): string {
  if (target?.averageValue !== undefined) {
    const now = current?.averageValue;
    return `${name}: ${now === undefined ? UNKNOWN : String(now)}/${String(target.averageValue)}`;
  }
  const now = current?.averageUtilization;
  const wanted = target?.averageUtilization;
  return `${name}: ${now === undefined ? UNKNOWN : percent(now)}/${wanted === undefined ? '<auto>' : percent(wanted)}`;
}

function metricCell(metric: Metric, current: Current | undefined): string {
  switch (metric.type) {
    case 'External': {
      const { target } = metric.external ?? {};
      return pair(target, current?.external?.current, target?.averageValue !== undefined);
    }
    case 'Pods':
      return pair(metric.pods?.target, current?.pods?.current, true).replace(' (avg)', '');
    case 'Object': {
      const { target } = metric.object ?? {};
      return pair(target, current?.object?.current, target?.averageValue !== undefined);
    }
    case 'Resource':
      return usage(metric.resource?.name ?? '', metric.resource?.target, current?.resource?.current);
    case 'ContainerResource': {
      const source = metric.containerResource;
      return usage(source?.name ?? '', source?.target, current?.containerResource?.current);
    }
    default:
      return '<unknown type>';
  }
}

function targetsCell({ spec, status }: HorizontalPodAutoscaler): string {
  const metrics = spec?.metrics ?? [];
  if (metrics.length === 0) return NONE;
  const cells = metrics.map((metric, i) => metricCell(metric, status?.currentMetrics?.[i]));
  const shown = cells.slice(0, MAX_SHOWN).join(', ');
  return cells.length > MAX_SHOWN ? `${shown} + ${cells.length - MAX_SHOWN} more...` : shown;
}

export function autoscalerRow(autoscaler: HorizontalPodAutoscaler, nowMs: number): unknown[] {
  const { spec, status } = autoscaler;
  const { kind = '', name = '' } = spec?.scaleTargetRef ?? {};
  return [
    autoscaler.metadata.name,
    `${kind}/${name}`,
    targetsCell(autoscaler),
    spec?.minReplicas === undefined ? '<unset>' : String(spec.minReplicas),
    String(spec?.maxReplicas ?? 0),
    String(status?.currentReplicas ?? 0),
    age(autoscaler, nowMs),
  ];
}
