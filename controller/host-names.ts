import { hostname, networkInterfaces } from 'node:os';
import type { IpFamily } from '#api/meta/ip-address.ts';
import { ConfigError } from '#base/config.ts';

export interface HostNames {
  readonly hostnames: readonly string[];
  readonly addresses: readonly string[];
}

/** Good on one link alone. Every pod's end of its cable has one of IPv6, which comes and goes with the pod. */
const LINK_LOCAL = /^(169\.254\.|fe80:)/i;

type Interfaces = ReturnType<typeof networkInterfaces>;

/** Under which names and addresses clients may know this host; the serving certificate carries them all. */
export function ownNames(further: readonly string[], interfaces: Interfaces = networkInterfaces()): HostNames {
  const addresses = Object.values(interfaces).flatMap((entries) =>
    (entries ?? []).filter((e) => !e.internal && !LINK_LOCAL.test(e.address)).map((e) => e.address),
  );
  const isAddress = (name: string) => /^[\d.]+$/.test(name) || name.includes(':');
  return {
    hostnames: [hostname(), ...further.filter((name) => !isAddress(name))],
    addresses: [...addresses, ...further.filter(isAddress)],
  };
}

/**
 * The address that other machines probably reach this host at: the first of the family that is on no bridge or tunnel of container
 * software. Hosts with several networks set `advertiseAddress`.
 */
export function defaultAdvertiseAddress(family: IpFamily): string {
  const candidates = Object.entries(networkInterfaces())
    .filter(([name]) => !/^(lo|docker|br-|cni|coracle|veth|virbr|flannel|tun|wg)/.test(name))
    .flatMap(([, entries]) =>
      (entries ?? []).filter((e) => !e.internal && e.family === family && !LINK_LOCAL.test(e.address)),
    );
  const [first] = candidates;
  if (first === undefined) {
    throw new ConfigError(
      `this host has no address of ${family} but loopback, so pods could not reach the API: bring a network up, or set --advertise-address`,
    );
  }
  return first.address;
}
