import { parseServer, type UpstreamServer } from './forwarder.ts';

/** Domain in lower case -> who is asked for names in it. */
export type StubDomains = ReadonlyMap<string, readonly UpstreamServer[]>;

/** `corp.example=10.0.0.53`; a domain may be named several times. Throws a plain Error that names the mistake. */
export function parseStubDomains(entries: readonly string[]): StubDomains {
  const domains = new Map<string, UpstreamServer[]>();
  for (const entry of entries) {
    const [domain, server, ...rest] = entry.split('=').map((part) => part.trim());
    if (!domain || !server || rest.length > 0)
      throw new Error(`stub domain "${entry}" has not the form <domain>=<address of a resolver>`);
    const key = domain.toLowerCase().replace(/\.$/, '');
    domains.set(key, [...(domains.get(key) ?? []), parseServer(server)]);
  }
  return domains;
}

/** Of the longest domain that the name lies in. */
export function stubServersFor(domains: StubDomains, name: string): readonly UpstreamServer[] | undefined {
  if (domains.size === 0) return undefined;
  for (let rest = name; rest !== ''; ) {
    const servers = domains.get(rest);
    if (servers !== undefined) return servers;
    const dot = rest.indexOf('.');
    rest = dot < 0 ? '' : rest.slice(dot + 1);
  }
  return undefined;
}
