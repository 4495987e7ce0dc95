import { DEVICE_CLASS_PREFIX } from '#api/meta/extended-resources.ts';
import { qualifiedName } from '#api/meta/names.ts';
import { Quantity } from '#api/meta/quantity.ts';
import { duplicate, type FieldError, forbiddenField, invalid, missing, required } from '#api/object/field-error.ts';

type ResourceList = Readonly<Record<string, unknown>>;

export interface ResourceRequirements {
  readonly limits?: ResourceList;
  readonly requests?: ResourceList;
  readonly claims?: readonly { readonly name?: string; readonly request?: string }[];
}

const STANDARD = new Set(['cpu', 'memory', 'ephemeral-storage']);
/** Counted in quotas, but nothing that a container can have. */
const OTHER_STANDARD = new Set([
  'configmaps',
  'persistentvolumeclaims',
  'pods',
  'replicationcontrollers',
  'resourcequotas',
  'secrets',
  'services',
  'services.loadbalancers',
  'services.nodeports',
  'storage',
]);
const isHugePages = (name: string): boolean => name.startsWith('hugepages-');
const isStandard = (name: string): boolean => STANDARD.has(name) || isHugePages(name);
/** `example.com/gpu`: counted in whole pieces and never promised twice. */
const isExtended = (name: string): boolean =>
  name.startsWith(DEVICE_CLASS_PREFIX) ||
  (name.includes('/') && !name.includes('kubernetes.io/') && !name.startsWith('requests.'));
const mayOvercommit = (name: string): boolean => !isExtended(name) && !isHugePages(name);

const parse = (value: unknown): Quantity => Quantity.parse(value as string | number);

function validateName(name: string, path: string): FieldError[] {
  const errors = qualifiedName(name).map((message) => invalid(path, name, message));
  if (errors.length > 0) return errors;
  if (!name.includes('/')) {
    if (isStandard(name)) return [];
    const errors = OTHER_STANDARD.has(name)
      ? []
      : [invalid(path, name, 'must be a standard resource type or fully qualified')];
    return [...errors, invalid(path, name, 'must be a standard resource for containers')];
  }
  return [];
}

function validateAmount(name: string, value: unknown, path: string): FieldError[] {
  const quantity = parse(value);
  if (quantity.sign < 0) return [invalid(path, quantity.toString(), 'must be greater than or equal to 0')];
  if (isExtended(name) && quantity.nano % 1_000_000_000n !== 0n) {
    return [invalid(path, quantity.toString(), 'must be an integer')];
  }
  return [];
}

function validateList(list: ResourceList | undefined, path: string): FieldError[] {
  return Object.entries(list ?? {}).flatMap(([name, value]) => [
    ...validateName(name, `${path}[${name}]`),
    ...validateAmount(name, value, `${path}[${name}]`),
  ]);
}

function validateRequestsWithinLimits(
  { limits = {}, requests = {} }: ResourceRequirements,
  path: string,
): FieldError[] {
  return Object.entries(requests).flatMap(([name, value]) => {
    const request = parse(value);
    if (!Object.hasOwn(limits, name)) {
      return mayOvercommit(name)
        ? []
        : [required(`${path}.limits`, 'Limit must be set for non overcommitable resources')];
    }
    const limit = parse(limits[name]);
    if (!mayOvercommit(name) && !request.equals(limit)) {
      return [invalid(`${path}.requests`, request.toString(), `must be equal to ${name} limit of ${limit}`)];
    }
    if (request.compare(limit) > 0) {
      return [
        invalid(`${path}.requests`, request.toString(), `must be less than or equal to ${name} limit of ${limit}`),
      ];
    }
    return [];
  });
}

/** Huge pages come beside ordinary memory or time on a CPU, never alone. */
function validateHugePages({ limits = {}, requests = {} }: ResourceRequirements, path: string): FieldError[] {
  const names = [...Object.keys(limits), ...Object.keys(requests)];
  return names.some(isHugePages) && !names.includes('cpu') && !names.includes('memory')
    ? [forbiddenField(path, 'HugePages require cpu or memory')]
    : [];
}

/** `claimNames`: the pod's resource claims that containers may use. */
export function validateResources(
  resources: ResourceRequirements | undefined,
  path: string,
  claimNames: ReadonlySet<string> = new Set(),
): FieldError[] {
  if (resources === undefined) return [];
  const used = new Set<string>();
  const claims = (resources.claims ?? []).flatMap(({ name = '', request = '' }, i) => {
    const at = `${path}.claims[${i}]`;
    if (name === '') return [required(`${at}.name`)];
    const identity = `${name}/${request}`;
    if (used.has(identity) || used.has(`${name}/`)) return [duplicate(at, request === '' ? name : identity)];
    used.add(identity);
    return claimNames.has(name) ? [] : [missing(`${at}.name`, name)];
  });
  return [
    ...validateList(resources.limits, `${path}.limits`),
    ...validateList(resources.requests, `${path}.requests`),
    ...validateRequestsWithinLimits(resources, path),
    ...validateHugePages(resources, path),
    ...claims,
  ];
}
