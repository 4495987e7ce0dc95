import type { IDeviceTaint } from 'kubernetes-models/resource.k8s.io/v1/DeviceTaint';
import type { IDeviceToleration } from 'kubernetes-models/resource.k8s.io/v1/DeviceToleration';

/** Whether a taint of a device does not matter to whoever has this toleration: no key means all keys, no effect all effects. */
export function toleratesDeviceTaint(
  { key, operator, value, effect }: IDeviceToleration,
  taint: IDeviceTaint,
): boolean {
  if (effect && effect !== taint.effect) return false;
  if (key && key !== taint.key) return false;
  switch (operator ?? 'Equal') {
    case 'Exists':
      return true;
    case 'Equal':
      return Boolean(key) && (value ?? '') === (taint.value ?? '');
    default:
      return false;
  }
}
