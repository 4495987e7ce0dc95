import type { HorizontalPodAutoscaler } from '#api/object/kinds.ts';

export type AutoscalerSpec = NonNullable<HorizontalPodAutoscaler['spec']>;
type ScalingRules = NonNullable<NonNullable<AutoscalerSpec['behavior']>['scaleUp']>;

const DEFAULT_CPU_PERCENT = 80;

/** Up at once and fast: double the pods or add four, whichever is more, every 15 seconds. */
const SCALE_UP: ScalingRules = {
  stabilizationWindowSeconds: 0,
  selectPolicy: 'Max',
  policies: [
    { type: 'Pods', value: 4, periodSeconds: 15 },
    { type: 'Percent', value: 100, periodSeconds: 15 },
  ],
};
/** Down to whatever is wanted; how long to wait for it is the controller's setting. */
const SCALE_DOWN: ScalingRules = {
  selectPolicy: 'Max',
  policies: [{ type: 'Percent', value: 100, periodSeconds: 15 }],
};

function withDefaults(rules: ScalingRules | undefined, defaults: ScalingRules): ScalingRules {
  const given = Object.fromEntries(Object.entries(rules ?? {}).filter(([, value]) => value !== undefined));
  return { ...structuredClone(defaults), ...given };
}

export function applyAutoscalerDefaults({ spec }: HorizontalPodAutoscaler): void {
  if (spec === undefined) return;
  spec.minReplicas ??= 1;
  if ((spec.metrics ?? []).length === 0) {
    const target = { type: 'Utilization', averageUtilization: DEFAULT_CPU_PERCENT };
    spec.metrics = [{ type: 'Resource', resource: { name: 'cpu', target } }];
  }
  if (spec.behavior === undefined) return;
  const { scaleUp, scaleDown } = spec.behavior;
  spec.behavior = { scaleUp: withDefaults(scaleUp, SCALE_UP), scaleDown: withDefaults(scaleDown, SCALE_DOWN) };
}
