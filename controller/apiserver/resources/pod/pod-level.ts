import { podRequests } from '#api/meta/pod-resources.ts';
import { Quantity } from '#api/meta/quantity.ts';
import {
  duplicate,
  type FieldError,
  forbiddenField,
  invalid,
  notSupported,
  required,
} from '#api/object/field-error.ts';
import { validateDnsLabel, validateDnsSubdomain } from '../validation/format.ts';
import type { Container, PodSpec } from './pod-types.ts';
import { type ResourceRequirements, validateResources } from './resource-requirements.ts';

const SUPPORTED = ['cpu', 'hugepages-', 'memory'];
const isHugePages = (name: string): boolean => name.startsWith('hugepages-');
const isSupported = (name: string): boolean => name === 'cpu' || name === 'memory' || isHugePages(name);
const parse = (value: unknown): Quantity => Quantity.parse(value as string | number);

const sizesOf = (holder: { readonly resources?: unknown }) => (holder.resources ?? {}) as ResourceRequirements;

/** What all containers ask for, as the scheduler adds it up; without what the pod itself says. */
function containerRequests({ containers, initContainers }: PodSpec): ReadonlyMap<string, Quantity> {
  return podRequests({ containers, initContainers } as Parameters<typeof podRequests>[0]);
}

/** Requests of the pod where only its limits are given: those of its containers, else the limits. */
export function defaultPodRequests(spec: PodSpec): void {
  const { limits, requests } = sizesOf(spec);
  if (spec.resources === undefined || Object.keys(limits ?? {}).length === 0) return;
  const wanted: Record<string, unknown> = { ...requests };
  for (const [name, amount] of containerRequests(spec)) {
    if (!Object.hasOwn(wanted, name) && isSupported(name) && !isHugePages(name)) wanted[name] = amount.toString();
  }
  for (const [name, limit] of Object.entries(limits ?? {})) {
    if (!Object.hasOwn(wanted, name) && isSupported(name)) wanted[name] = limit;
  }
  if (Object.keys(wanted).length > 0) spec.resources.requests = wanted as NonNullable<typeof spec.resources.requests>;
}

function validateNames(resources: ResourceRequirements, path: string): FieldError[] {
  return (['limits', 'requests'] as const).flatMap((list) =>
    Object.keys(resources[list] ?? {})
      .filter((name) => !isSupported(name))
      .map((name) => notSupported(`${path}.${list}[${name}]`, name, SUPPORTED)),
  );
}

/** No container may have more than the pod, nor all together ask for more. */
function validateTotals(spec: PodSpec, path: string): FieldError[] {
  const { limits = {}, requests = {} } = sizesOf(spec);
  const errors: FieldError[] = [];
  for (const [name, total] of containerRequests(spec)) {
    const own = requests[name];
    if (own === undefined || total.compare(parse(own)) <= 0) continue;
    const message = `must be greater than or equal to aggregate container requests of ${total}`;
    errors.push(invalid(`${path}.resources.requests[${name}]`, parse(own).toString(), message));
  }
  const check = (containers: readonly Container[] | undefined, list: string) =>
    (containers ?? []).flatMap((container, i) =>
      Object.entries(sizesOf(container).limits ?? {}).flatMap(([name, value]) => {
        const own = limits[name];
        if (own === undefined || parse(value).compare(parse(own)) <= 0) return [];
        const at = `${path}.${list}[${i}].resources.limits[${name}]`;
        return [invalid(at, parse(value).toString(), `must be less than or equal to pod limits of ${parse(own)}`)];
      }),
    );
  return [...errors, ...check(spec.initContainers, 'initContainers'), ...check(spec.containers, 'containers')];
}

/** Resources of the pod as a whole, and what its sandbox costs. */
export function validatePodLevel(spec: PodSpec, path: string): FieldError[] {
  const overhead = validateResources({ limits: spec.overhead ?? {} }, `${path}.overhead`);
  if (spec.resources === undefined) return overhead;
  const at = `${path}.resources`;
  const sizes = sizesOf(spec);
  if ((sizes.claims ?? []).length > 0) {
    return [...overhead, forbiddenField(`${at}.claims`, 'claims may not be set for Resources at pod-level')];
  }
  const errors = [...validateNames(sizes, at), ...validateResources(sizes, at)];
  return [...overhead, ...errors, ...(errors.length === 0 ? validateTotals(spec, path) : [])];
}

/** Devices that the pod claims, by the names that its containers use. */
export function validateResourceClaims(claims: PodSpec['resourceClaims'], path: string): FieldError[] {
  const names = new Set<string>();
  return (claims ?? []).flatMap((claim, i) => {
    const at = `${path}[${i}]`;
    const { name, resourceClaimName, resourceClaimTemplateName } = claim;
    const errors: FieldError[] = [];
    if (!name) errors.push(required(`${at}.name`));
    else if (names.has(name)) errors.push(duplicate(`${at}.name`, name));
    else errors.push(...validateDnsLabel(name, `${at}.name`));
    names.add(name);
    if (resourceClaimName !== undefined && resourceClaimTemplateName !== undefined) {
      const message = 'at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified';
      errors.push(invalid(at, claim, message));
    }
    if (resourceClaimName === undefined && resourceClaimTemplateName === undefined) {
      errors.push(invalid(at, claim, 'must specify one of: `resourceClaimName`, `resourceClaimTemplateName`'));
    }
    for (const [field, value] of Object.entries({ resourceClaimName, resourceClaimTemplateName })) {
      if (value !== undefined) errors.push(...validateDnsSubdomain(value, `${at}.${field}`));
    }
    return errors;
  });
}
