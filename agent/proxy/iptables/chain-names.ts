import { createHash } from 'node:crypto';
import type { EndpointTarget, ServicePortPlan } from '../service-port-plan.ts';

/**
 * Chain names as kube-proxy builds them, so that whoever knows its rules can read ours: prefix + 16 base32 characters of a SHA-256.
 * iptables allows 28 characters.
 */
const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const HASH_CHARACTERS = 16;

function hash(text: string): string {
  const digest = createHash('sha256').update(text).digest();
  let bits = 0;
  let pending = 0;
  let name = '';
  for (const byte of digest) {
    pending = ((pending << 8) | byte) & 0xffff;
    bits += 8;
    while (bits >= 5 && name.length < HASH_CHARACTERS) {
      bits -= 5;
      name += BASE32[(pending >> bits) & 31];
    }
    if (name.length === HASH_CHARACTERS) break;
  }
  return name;
}

type Named = Pick<ServicePortPlan, 'id' | 'protocol'>;

const portText = (plan: Named): string => `${plan.id}${plan.protocol.toLowerCase()}`;

/** Spreads traffic over the endpoints of internal traffic. */
export const serviceChain = (plan: Named): string => `KUBE-SVC-${hash(portText(plan))}`;
/** Spreads external traffic over local endpoints (externalTrafficPolicy Local). */
export const localChain = (plan: ServicePortPlan): string => `KUBE-SVL-${hash(portText(plan))}`;
/** Entry of external traffic: decides on masquerade. */
export const externalChain = (plan: ServicePortPlan): string => `KUBE-EXT-${hash(portText(plan))}`;
/** Source ranges of load-balancer addresses. */
export const firewallChain = (plan: ServicePortPlan): string => `KUBE-FW-${hash(portText(plan))}`;
/** DNAT to one endpoint. */
export const endpointChain = (plan: ServicePortPlan, target: EndpointTarget): string =>
  `KUBE-SEP-${hash(`${portText(plan)}${target.address}:${target.port}`)}`;

export const SERVICE_CHAIN_PATTERN = /^KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$/;
