import type { Service } from '#api/object/kinds.ts';

const upper = (name: string) => name.toUpperCase().replaceAll('-', '_');

const hasClusterIp = (service: Service) => {
  const ip = service.spec?.clusterIP;
  return ip !== undefined && ip !== '' && ip !== 'None' && service.spec?.type !== 'ExternalName';
};

/** Services whose variables a pod of `namespace` sees: its own with `enableServiceLinks`, and always `default/kubernetes`. */
export function visibleServices(services: readonly Service[], namespace: string, isLinked: boolean): Service[] {
  const visible = new Map<string, Service>();
  for (const service of services) {
    const { name, namespace: own = '' } = service.metadata;
    if (!hasClusterIp(service)) continue;
    if (own === 'default' && name === 'kubernetes' && !(visible.get(name)?.metadata.namespace === namespace))
      visible.set(name, service);
    if (isLinked && own === namespace) visible.set(name, service);
  }
  return [...visible.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** `{NAME}_SERVICE_HOST`, `_SERVICE_PORT`, and the docker-link style `{NAME}_PORT_80_TCP...` of every Service. */
export function serviceEnvironment(services: readonly Service[]): Map<string, string> {
  const variables = new Map<string, string>();
  for (const service of services) {
    const prefix = upper(service.metadata.name);
    const host = service.spec?.clusterIP ?? '';
    const ports = service.spec?.ports ?? [];
    const url = (port: (typeof ports)[number]) =>
      `${(port.protocol ?? 'TCP').toLowerCase()}://${host.includes(':') ? `[${host}]` : host}:${port.port}`;
    const first = ports[0];
    variables.set(`${prefix}_SERVICE_HOST`, host);
    if (first === undefined) continue;
    variables.set(`${prefix}_SERVICE_PORT`, String(first.port));
    for (const port of ports)
      if (port.name) variables.set(`${prefix}_SERVICE_PORT_${upper(port.name)}`, String(port.port));
    variables.set(`${prefix}_PORT`, url(first));
    for (const port of ports) {
      const protocol = port.protocol ?? 'TCP';
      const portPrefix = `${prefix}_PORT_${port.port}_${protocol}`;
      variables.set(portPrefix, url(port));
      variables.set(`${portPrefix}_PROTO`, protocol.toLowerCase());
      variables.set(`${portPrefix}_PORT`, String(port.port));
      variables.set(`${portPrefix}_ADDR`, host);
    }
  }
  return variables;
}
