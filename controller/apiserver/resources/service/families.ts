import { type IpFamily, parseIp } from '#api/meta/ip-address.ts';
import { type FieldError, invalid } from '#api/object/field-error.ts';
import { isHeadless, type ServiceSpec } from './defaults.ts';

type Policy = NonNullable<ServiceSpec['ipFamilyPolicy']>;

export interface FamilyChoice {
  readonly families: readonly IpFamily[];
  readonly policy: Policy;
  readonly error?: FieldError;
}

const OTHER: Readonly<Record<IpFamily, IpFamily>> = { IPv4: 'IPv6', IPv6: 'IPv4' };

/** Families in the order that the request implies: those it names, those of its addresses, else the cluster's own. */
function askedFamilies(spec: ServiceSpec, cluster: readonly IpFamily[]): IpFamily[] {
  const asked = [...((spec.ipFamilies ?? []) as IpFamily[])];
  for (const [i, ip] of (spec.clusterIPs ?? []).entries()) {
    const family = parseIp(ip)?.family;
    if (family !== undefined && asked[i] === undefined && !asked.includes(family)) asked.push(family);
  }
  return asked.length > 0 ? asked : [cluster[0] ?? 'IPv4'];
}

/** How many families a Service gets and which, as `ipFamilyPolicy` and the cluster's ranges allow. Pure. */
export function chooseFamilies(spec: ServiceSpec, cluster: readonly IpFamily[]): FamilyChoice {
  const asked = askedFamilies(spec, cluster);
  const headless = isHeadless(spec) || spec.clusterIPs?.[0] === 'None';
  const withoutSelector = Object.keys(spec.selector ?? {}).length === 0;
  if (headless && withoutSelector) {
    // Nobody allocates anything and the endpoints are the user's own, so both families are open.
    const policy = spec.ipFamilyPolicy ?? 'RequireDualStack';
    const first = asked[0] as IpFamily;
    const families = policy === 'SingleStack' ? asked.slice(0, 1) : [first, OTHER[first]];
    return { families, policy };
  }
  const policy = spec.ipFamilyPolicy ?? (asked.length > 1 ? 'RequireDualStack' : 'SingleStack');
  const unknown = asked.findIndex((family) => !cluster.includes(family));
  const choice = { families: asked, policy };
  if (unknown >= 0) {
    return {
      ...choice,
      error: invalid(`spec.ipFamilies[${unknown}]`, asked[unknown], 'not configured on this cluster'),
    };
  }
  if (policy === 'SingleStack') {
    return asked.length > 1
      ? {
          ...choice,
          error: invalid(
            'spec.ipFamilyPolicy',
            policy,
            "must be RequireDualStack or PreferDualStack when multiple 'ipFamilies' are specified",
          ),
        }
      : choice;
  }
  if (cluster.length < 2) {
    return policy === 'RequireDualStack'
      ? {
          ...choice,
          error: invalid('spec.ipFamilyPolicy', policy, 'this cluster is not configured for dual-stack services'),
        }
      : choice;
  }
  return { families: asked.length > 1 ? asked : [asked[0] as IpFamily, OTHER[asked[0] as IpFamily]], policy };
}
