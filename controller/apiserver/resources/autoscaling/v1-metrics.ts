import { isJsonObject } from '#api/object/json.ts';
import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';
import type { AutoscalerSpec } from './defaults.ts';

export type Metric = NonNullable<AutoscalerSpec['metrics']>[number];
export type MetricStatus = NonNullable<NonNullable<HorizontalPodAutoscaler['status']>['currentMetrics']>[number];

type Fields = Readonly<Record<string, unknown>>;

const fieldsOf = (value: unknown): Fields => (isJsonObject(value) ? value : {});
const compact = (fields: Fields): Fields =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

/** The type of a target is what it says, in this order. */
function targetType({ averageUtilization, averageValue }: Fields): string {
  if (averageUtilization !== undefined) return 'Utilization';
  return averageValue !== undefined ? 'AverageValue' : 'Value';
}

const withType = (target: Fields): Fields => ({ type: targetType(target), ...compact(target) });

/** A metric as autoscaling/v1 writes it into the annotation: flat, with other names. */
export function flattenMetric(metric: Metric): Fields {
  const { type, object, pods, resource, containerResource, external } = metric;
  return compact({
    type,
    object: object && {
      target: object.describedObject,
      ...compact({
        metricName: object.metric?.name,
        targetValue: object.target?.value ?? '0',
        selector: object.metric?.selector,
        averageValue: object.target?.averageValue,
      }),
    },
    pods: pods && {
      ...compact({
        metricName: pods.metric?.name,
        targetAverageValue: pods.target?.averageValue,
        selector: pods.metric?.selector,
      }),
    },
    resource: resource && { name: resource.name, ...flattenUsage(resource.target) },
    containerResource: containerResource && {
      name: containerResource.name,
      ...flattenUsage(containerResource.target),
      container: containerResource.container,
    },
    external: external && {
      ...compact({
        metricName: external.metric?.name,
        metricSelector: external.metric?.selector,
        targetValue: external.target?.value,
        targetAverageValue: external.target?.averageValue,
      }),
    },
  });
}

const flattenUsage = (
  target: Metric['resource'] extends infer R ? NonNullable<R>[keyof NonNullable<R>] : never,
): Fields => {
  const { averageUtilization, averageValue } = fieldsOf(target);
  return compact({ targetAverageUtilization: averageUtilization, targetAverageValue: averageValue });
};

const isZero = (value: unknown): boolean => value === undefined || /^0*(\.0*)?[a-zA-Z]*$/.test(String(value));

/** The way back. Fields that are missing stay missing: validation tells. */
export function unflattenMetric(flat: unknown): Metric {
  const { type, object, pods, resource, containerResource, external } = fieldsOf(flat);
  const identify = ({ metricName, selector }: Fields) => compact({ name: metricName, selector });
  const usage = ({ targetAverageUtilization, targetAverageValue }: Fields) =>
    withType({ averageUtilization: targetAverageUtilization, averageValue: targetAverageValue });
  const [o, p, r, c, e] = [object, pods, resource, containerResource, external].map(fieldsOf) as [
    Fields,
    Fields,
    Fields,
    Fields,
    Fields,
  ];
  return compact({
    type,
    object: object && {
      describedObject: o.target,
      metric: identify(o),
      target: withType({
        averageValue: o.averageValue,
        // The flat form has no way to say that there is no value.
        value: o.averageValue !== undefined && isZero(o.targetValue) ? undefined : o.targetValue,
      }),
    },
    pods: pods && { metric: identify(p), target: withType({ averageValue: p.targetAverageValue }) },
    resource: resource && { name: r.name, target: usage(r) },
    containerResource: containerResource && { name: c.name, container: c.container, target: usage(c) },
    external: external && {
      metric: identify({ metricName: e.metricName, selector: e.metricSelector }),
      target: withType({ value: e.targetValue, averageValue: e.targetAverageValue }),
    },
  }) as unknown as Metric;
}

export function flattenStatus(status: MetricStatus): Fields {
  const { type, object, pods, resource, containerResource, external } = status;
  const usage = (current: unknown) => {
    const { averageUtilization, averageValue } = fieldsOf(current);
    return compact({ currentAverageUtilization: averageUtilization, currentAverageValue: averageValue ?? '0' });
  };
  return compact({
    type,
    object: object && {
      target: object.describedObject,
      ...compact({
        metricName: object.metric?.name,
        currentValue: object.current?.value ?? '0',
        selector: object.metric?.selector,
        averageValue: object.current?.averageValue,
      }),
    },
    pods: pods && {
      ...compact({
        metricName: pods.metric?.name,
        currentAverageValue: pods.current?.averageValue,
        selector: pods.metric?.selector,
      }),
    },
    resource: resource && { name: resource.name, ...usage(resource.current) },
    containerResource: containerResource && {
      name: containerResource.name,
      ...usage(containerResource.current),
      container: containerResource.container,
    },
    external: external && {
      ...compact({
        metricName: external.metric?.name,
        metricSelector: external.metric?.selector,
        currentValue: external.current?.value ?? '0',
        currentAverageValue: external.current?.averageValue,
      }),
    },
  });
}

export function unflattenStatus(flat: unknown): MetricStatus {
  const { type, object, pods, resource, containerResource, external } = fieldsOf(flat);
  const identify = (metricName: unknown, selector: unknown) => compact({ name: metricName, selector });
  const usage = ({ currentAverageUtilization, currentAverageValue }: Fields) =>
    compact({ averageUtilization: currentAverageUtilization, averageValue: currentAverageValue });
  const [o, p, r, c, e] = [object, pods, resource, containerResource, external].map(fieldsOf) as [
    Fields,
    Fields,
    Fields,
    Fields,
    Fields,
  ];
  return compact({
    type,
    object: object && {
      describedObject: o.target,
      metric: identify(o.metricName, o.selector),
      current: compact({ value: o.currentValue, averageValue: o.averageValue }),
    },
    pods: pods && {
      metric: identify(p.metricName, p.selector),
      current: compact({ averageValue: p.currentAverageValue }),
    },
    resource: resource && { name: r.name, current: usage(r) },
    containerResource: containerResource && { name: c.name, container: c.container, current: usage(c) },
    external: external && {
      metric: identify(e.metricName, e.metricSelector),
      current: compact({ value: e.currentValue, averageValue: e.currentAverageValue }),
    },
  }) as unknown as MetricStatus;
}
