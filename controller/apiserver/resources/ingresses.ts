import type { IIngress } from 'kubernetes-models/networking.k8s.io/v1/Ingress';
import { wildcardDns1123Subdomain } from '#api/meta/names.ts';
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

function validateBackend({ service, resource }: Backend, path: string): FieldError[] {
  if (resource !== undefined) {
    return service === undefined ? [] : [invalid(path, '', 'cannot set both resource and service backends')];
  }
  if (service === undefined) return [required(path, 'resource or service backend is required')];
  const errors = service.name
    ? validateDns1035Label(service.name, `${path}.service.name`)
    : [required(`${path}.service.name`)];
  const { name, number } = service.port ?? {};
  if (name && number) errors.push(invalid(path, '', 'cannot set both port name & port number'));
  else if (!name && !number) errors.push(required(path, 'port name or number is required'));
  else if (number) errors.push(...validatePort(number, `${path}.service.port.number`));
  return errors;
}

function validateHost(host: string, path: string): FieldError[] {
  if (!host.includes('*')) return validateDnsSubdomain(host, path);
  return wildcardDns1123Subdomain(host).map((message) => invalid(path, host, message));
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
    else if ((pathType !== 'ImplementationSpecific' || url !== '') && !url.startsWith('/')) {
      errors.push(invalid(`${at}.path`, url, 'must be an absolute path'));
    }
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
  return [...errors, ...rules.flatMap((rule, i) => validateRule(rule, `spec.rules[${i}]`))];
}

const hostsCell = ({ spec }: Ingress): string =>
  listWithMore(
    (spec?.rules ?? []).flatMap(({ host }) => host || []),
    SHOWN_HOSTS,
    '*',
  );

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
  validate: validateIngress,
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
