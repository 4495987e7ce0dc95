import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { parseIp } from '#api/meta/ip-address.ts';
import { pathSegmentName, portName, wildcardDns1123Subdomain } from '#api/meta/names.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { age, listWithMore, NONE } from './printing/cells.ts';
import { ageColumn, nameColumn, text } from './printing/columns.ts';
import { ingressAddresses } from './service/printer.ts';
import { validateDns1035Label, validateDnsSubdomain, validatePort } from './validation/format.ts';

type Ingress = Stored<IIngress>;
type Rule = NonNullable<NonNullable<Ingress['spec']>['rules']>[number];
type Backend = NonNullable<NonNullable<Ingress['spec']>['defaultBackend']>;

const PATH_TYPES = ['Exact', 'ImplementationSpecific', 'Prefix'];
const SHOWN_HOSTS = 3;

type ObjectBackend = NonNullable<Backend['resource']>;

/** Something that is no Service: an object of a kind that the Ingress controller knows. */
function validateResource({ apiGroup, kind, name }: ObjectBackend, path: string): FieldError[] {
  const parts = Object.entries({ kind, name }).flatMap(([field, value]) =>
    value
      ? pathSegmentName(value).map((why) => invalid(`${path}.${field}`, value, why))
      : [required(`${path}.${field}`)],
  );
  return apiGroup ? [...validateDnsSubdomain(apiGroup, `${path}.apiGroup`), ...parts] : parts;
}

function validateBackend({ service, resource }: Backend, path: string): FieldError[] {
  if (resource !== undefined) {
    return service === undefined
      ? validateResource(resource, `${path}.resource`)
      : [invalid(path, '', 'cannot set both resource and service backends')];
  }
  if (service === undefined) return [required(path, 'resource or service backend is required')];
  const errors = service.name
    ? validateDns1035Label(service.name, `${path}.service.name`)
    : [required(`${path}.service.name`)];
  const { name, number } = service.port ?? {};
  if (name && number) errors.push(invalid(path, '', 'cannot set both port name & port number'));
  else if (!name && !number) errors.push(required(path, 'port name or number is required'));
  else if (name) errors.push(...portName(name).map((why) => invalid(`${path}.service.port.name`, name, why)));
  else if (number) errors.push(...validatePort(number, `${path}.service.port.number`));
  return errors;
}

function validateHost(host: string, path: string): FieldError[] {
  if (parseIp(host) !== undefined) return [invalid(path, host, 'must be a DNS name, not an IP address')];
  if (!host.includes('*')) return validateDnsSubdomain(host, path);
  return wildcardDns1123Subdomain(host).map((message) => invalid(path, host, message));
}

/** Parts of paths that clients, proxies and controllers read in different ways. */
const AMBIGUOUS = ['//', '/./', '/../', '%2f', '%2F'];
const AMBIGUOUS_ENDS = ['/..', '/.'];

function validatePath(url: string, pathType: string, path: string): FieldError[] {
  if (pathType === 'ImplementationSpecific' && url === '') return [];
  const errors = url.startsWith('/') ? [] : [invalid(path, url, 'must be an absolute path')];
  if (pathType === 'ImplementationSpecific' || errors.length > 0) return errors;
  return [
    ...AMBIGUOUS.filter((part) => url.includes(part)).map((part) => invalid(path, url, `must not contain '${part}'`)),
    ...AMBIGUOUS_ENDS.filter((end) => url.endsWith(end)).map((end) => invalid(path, url, `cannot end with '${end}'`)),
  ];
}

function validateTls(tls: NonNullable<Ingress['spec']>['tls']): FieldError[] {
  return (tls ?? []).flatMap(({ hosts = [], secretName }, i) => [
    ...hosts.flatMap((host, j) => {
      const at = `spec.tls[${i}].hosts[${j}]`;
      if (!host.includes('*')) return validateDnsSubdomain(host, at);
      return wildcardDns1123Subdomain(host).map((message) => invalid(at, host, message));
    }),
    ...(secretName ? validateDnsSubdomain(secretName, `spec.tls[${i}].secretName`) : []),
  ]);
}

function validateRule(rule: Rule, path: string): FieldError[] {
  const errors = rule.host ? validateHost(rule.host, `${path}.host`) : [];
  if (rule.http === undefined) return errors;
  const paths = rule.http.paths ?? [];
  if (paths.length === 0) errors.push(required(`${path}.http.paths`));
  for (const [i, { path: url = '', pathType, backend }] of paths.entries()) {
    const at = `${path}.http.paths[${i}]`;
    if (!pathType) errors.push(required(`${at}.pathType`, 'pathType must be specified'));
    else if (!PATH_TYPES.includes(pathType)) errors.push(notSupported(`${at}.pathType`, pathType, PATH_TYPES));
    else errors.push(...validatePath(url, pathType, `${at}.path`));
    errors.push(...validateBackend(backend ?? {}, `${at}.backend`));
  }
  return errors;
}

function validateIngress({ spec }: Ingress): FieldError[] {
  const { rules = [], defaultBackend, ingressClassName } = spec ?? {};
  const errors: FieldError[] = [];
  if (rules.length === 0 && defaultBackend === undefined) {
    errors.push(invalid('spec', spec ?? {}, 'either `defaultBackend` or `rules` must be specified'));
  }
  if (defaultBackend !== undefined) errors.push(...validateBackend(defaultBackend, 'spec.defaultBackend'));
  if (ingressClassName !== undefined) errors.push(...validateDnsSubdomain(ingressClassName, 'spec.ingressClassName'));
  return [...errors, ...validateTls(spec?.tls), ...rules.flatMap((rule, i) => validateRule(rule, `spec.rules[${i}]`))];
}

const hostsCell = ({ spec }: Ingress): string =>
  listWithMore(
    (spec?.rules ?? []).flatMap(({ host }) => host || []),
    SHOWN_HOSTS,
    '*',
  );

const CLASS_ANNOTATION = 'kubernetes.io/ingress.class';

/** A new Ingress names its class in one way. */
function validateOneClass({ metadata, spec }: Ingress): FieldError[] {
  const annotation = metadata.annotations?.[CLASS_ANNOTATION];
  return annotation !== undefined && spec?.ingressClassName !== undefined
    ? [invalid(`annotations.${CLASS_ANNOTATION}`, annotation, 'can not be set when the class field is also set')]
    : [];
}

export const ingresses: ResourceDefinition = defineResource<Ingress>({
  group: 'networking.k8s.io',
  version: 'v1',
  resource: 'ingresses',
  kind: 'Ingress',
  namespaced: true,
  shortNames: ['ing'],
  // The name that Kubernetes has kept in etcd since the kind was young.
  storagePrefix: '/registry/ingress',
  hasStatus: true,
  hasGeneration: true,
  prepareForCreate(ingress) {
    ingress.status = {};
  },
  validate: (ingress, { request }) =>
    request.info.verb === 'create'
      ? [...validateIngress(ingress), ...validateOneClass(ingress)]
      : validateIngress(ingress),
  warnings: (ingress, old) =>
    old === undefined && ingress.metadata.annotations?.[CLASS_ANNOTATION] !== undefined
      ? [`annotation "${CLASS_ANNOTATION}" is deprecated, please use 'spec.ingressClassName' instead`]
      : [],
  columns: [
    nameColumn,
    text('Class', 'Class that says which controller serves it.'),
    text('Hosts', 'Hosts that its rules are for.'),
    text('Address', 'Where the outside reaches it.'),
    text('Ports', 'Ports it listens on.'),
    ageColumn,
  ],
  tableRow: (ingress, nowMs) => [
    ingress.metadata.name,
    ingress.spec?.ingressClassName ?? NONE,
    hostsCell(ingress),
    ingressAddresses(ingress.status?.loadBalancer?.ingress).join(','),
    (ingress.spec?.tls ?? []).length > 0 ? '80, 443' : '80',
    age(ingress, nowMs),
  ],
});
