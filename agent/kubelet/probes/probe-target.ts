import type { IContainer } from 'kubernetes-models/v1/Container';

/** A port given as a number, as digits, or by the name of one of the container's ports. Throws when there is no such port. */
export function resolvePort(container: IContainer, port: number | string): number {
  const number = typeof port === 'number' ? port : /^\d+$/.test(port) ? Number(port) : undefined;
  const resolved = number ?? container.ports?.find(({ name }) => name === port)?.containerPort;
  if (resolved === undefined || resolved < 1 || resolved > 65_535)
    throw new Error(`couldn't find port ${JSON.stringify(port)} in container ${container.name}`);
  return resolved;
}
