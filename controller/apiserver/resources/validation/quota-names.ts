import { qualifiedName } from '#api/meta/names.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';

/** Names that quotas count and that have no domain. */
const STANDARD: ReadonlySet<string> = new Set([
  'configmaps',
  'cpu',
  'ephemeral-storage',
  'limits.cpu',
  'limits.ephemeral-storage',
  'limits.memory',
  'memory',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'requests.cpu',
  'requests.ephemeral-storage',
  'requests.memory',
  'requests.storage',
  'resourcequotas',
  'secrets',
  'services',
  'services.loadbalancers',
  'services.nodeports',
]);
const HUGE_PAGES = /^(requests\.)?hugepages-/;

/** Counted in whole pieces. */
const INTEGERS: ReadonlySet<string> = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
  'services.loadbalancers',
  'services.nodeports',
]);

export const isCounted = (name: string): boolean => INTEGERS.has(name) || name.startsWith('count/');

/** A resource that a quota may bound. */
export function validateQuotaName(name: string, path: string): FieldError[] {
  const errors = qualifiedName(name).map((message) => invalid(path, name, message));
  if (errors.length > 0 || name.includes('/') || STANDARD.has(name) || HUGE_PAGES.test(name)) return errors;
  return [invalid(path, name, 'must be a standard resource for quota')];
}

/** Resources of pods, containers and claims that a LimitRange may bound. */
export function validateLimitName(name: string, type: string, path: string): FieldError[] {
  const errors = qualifiedName(name).map((message) => invalid(path, name, message));
  if (errors.length > 0 || name.includes('/')) return errors;
  if (type === 'Pod' || type === 'Container') {
    const isKnown = ['cpu', 'memory', 'ephemeral-storage'].includes(name) || name.startsWith('hugepages-');
    return isKnown ? [] : [invalid(path, name, 'must be a standard limit type or fully qualified')];
  }
  return [];
}
