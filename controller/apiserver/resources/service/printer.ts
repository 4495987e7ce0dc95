import type { Service } from '#api/object/kinds.ts';
import { age, formatLabels, NONE, orNone, UNKNOWN } from '../printing/cells.ts';
import { ageColumn, nameColumn, text, wideColumn } from '../printing/columns.ts';

export const serviceColumns = [
  nameColumn,
  text('Type', 'How the Service is reached.'),
  text('Cluster-IP', 'Address inside the cluster.'),
  text('External-IP', 'Addresses outside of it.'),
  text('Port(s)', 'Ports, with node ports where there are any.'),
  ageColumn,
  wideColumn('Selector', 'Labels of the pods behind it.'),
];

interface Ingress {
  readonly ip?: string;
  readonly hostname?: string;
}

/** Addresses that a load balancer reported. */
export function ingressAddresses(ingress: readonly Ingress[] | undefined): string[] {
  return [...new Set((ingress ?? []).map(({ ip, hostname }) => ip || hostname || '').filter(Boolean))].sort();
}

function externalIpCell({ spec, status }: Service): string {
  const external = spec?.externalIPs ?? [];
  switch (spec?.type) {
    case 'ClusterIP':
    case 'NodePort':
      return orNone(external.join(','));
    case 'LoadBalancer':
      return [...ingressAddresses(status?.loadBalancer?.ingress), ...external].join(',') || '<pending>';
    case 'ExternalName':
      return spec.externalName ?? '';
    default:
      return UNKNOWN;
  }
}

function portsCell({ spec }: Service): string {
  const ports = (spec?.ports ?? []).map(({ port, nodePort, protocol }) =>
    nodePort ? `${port}:${nodePort}/${protocol}` : `${port}/${protocol}`,
  );
  return orNone(ports.join(','));
}

export function serviceRow(service: Service, nowMs: number): unknown[] {
  const { spec } = service;
  return [
    service.metadata.name,
    spec?.type ?? '',
    spec?.clusterIPs?.[0] || spec?.clusterIP || NONE,
    externalIpCell(service),
    portsCell(service),
    age(service, nowMs),
    formatLabels(spec?.selector),
  ];
}
