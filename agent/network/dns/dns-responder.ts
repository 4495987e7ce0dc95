import type { Answer } from 'dns-packet';
import type { ClusterZone, DnsRecord, ZoneAnswer } from './cluster-zone.ts';
import {
  type DnsQuery,
  decodeAnswers,
  encodeFormatError,
  encodeQuery,
  encodeResponse,
  parseQuery,
  responseCodeOf,
  truncate,
} from './dns-message.ts';
import type { Forwarder } from './forwarder.ts';

export interface DnsResponderOptions {
  readonly zone: ClusterZone;
  readonly forwarder: Pick<Forwarder, 'ask' | 'findCached'>;
  /** False until the names of the cluster are known: until then nobody may be told that there is no such name. */
  readonly isReady: () => boolean;
  /** Called with the name of each question that nobody but we ourselves could have asked. */
  readonly onOwnQuestion?: (name: string) => boolean;
  readonly onAnswered?: (query: DnsQuery, response: Uint8Array, source: AnswerSource) => void;
}

export type AnswerSource = 'cluster' | 'cache' | 'forward' | 'refused';

/** Aliases of aliases. */
const MAX_DEPTH = 8;

/** One message in, one out. Undefined: the message deserves no answer. */
export async function respond(
  bytes: Uint8Array,
  transport: 'udp' | 'tcp',
  options: DnsResponderOptions,
): Promise<Uint8Array | undefined> {
  const query = parseQuery(bytes);
  if (query === undefined) return encodeFormatError(bytes);
  const { response, source } = await answer(query, options);
  const fitting = transport === 'udp' && response.length > query.maxUdpBytes ? truncate(query, response) : response;
  options.onAnswered?.(query, fitting, source);
  return fitting;
}

interface Answered {
  readonly response: Uint8Array;
  readonly source: AnswerSource;
}

async function answer(query: DnsQuery, options: DnsResponderOptions): Promise<Answered> {
  const refuse = (code: 'NOTIMP' | 'REFUSED'): Answered => ({
    response: encodeResponse(query, { code, authoritative: false }),
    source: 'refused',
  });
  if (!query.isStandard) return refuse('NOTIMP');
  if (!query.isInternet) return refuse('REFUSED');
  const name = query.name.toLowerCase();
  if (options.onOwnQuestion?.(name)) return refuse('REFUSED');
  const found = options.zone.resolve(name, query.type);
  if (found.kind === 'elsewhere') return forward(query, options);
  if (!options.isReady() && found.kind !== 'records')
    return { response: encodeResponse(query, { code: 'SERVFAIL', authoritative: false }), source: 'cluster' };
  return { response: await fromZone(query, found, options), source: 'cluster' };
}

async function forward(query: DnsQuery, { forwarder }: DnsResponderOptions): Promise<Answered> {
  const cached = forwarder.findCached(query);
  if (cached !== undefined) return { response: cached, source: 'cache' };
  const response = await forwarder.ask(query);
  const failure = () => encodeResponse(query, { code: 'SERVFAIL', authoritative: false });
  return { response: response ?? failure(), source: 'forward' };
}

async function fromZone(
  query: DnsQuery,
  found: Exclude<ZoneAnswer, { kind: 'elsewhere' }>,
  options: DnsResponderOptions,
): Promise<Uint8Array> {
  const authoritative = true;
  // Owners keep the client's upper and lower case.
  const own = (records: readonly DnsRecord[]) =>
    records.map((record) => (record.name === query.name.toLowerCase() ? { ...record, name: query.name } : record));
  switch (found.kind) {
    case 'records': {
      const { answers, additionals } = found;
      return encodeResponse(query, { code: 'NOERROR', authoritative, answers: own(answers), additionals });
    }
    case 'no-data':
      return encodeResponse(query, { code: 'NOERROR', authoritative, authorities: [options.zone.soa()] });
    case 'no-name':
      return encodeResponse(query, { code: 'NXDOMAIN', authoritative, authorities: [options.zone.soa()] });
    case 'alias': {
      const rest = query.type === 'CNAME' ? [] : await follow(query, found.target, options, 0);
      if (rest === undefined) return encodeResponse(query, { code: 'SERVFAIL', authoritative: false });
      return encodeResponse(query, { code: 'NOERROR', authoritative, answers: own(found.answers) }, rest);
    }
  }
}

/** What the target of an alias leads to, for the same type; undefined when nobody could say. */
async function follow(
  query: DnsQuery,
  target: string,
  options: DnsResponderOptions,
  depth: number,
): Promise<readonly Answer[] | undefined> {
  if (depth >= MAX_DEPTH) return undefined;
  const found = options.zone.resolve(target, query.type);
  if (found.kind === 'records') return found.answers as readonly Answer[];
  if (found.kind === 'alias') {
    const rest = await follow(query, found.target, options, depth + 1);
    return rest && [...(found.answers as readonly Answer[]), ...rest];
  }
  if (found.kind !== 'elsewhere') return [];
  const question = parseQuery(encodeQuery(target, query.type, query.id));
  const response = question && (await options.forwarder.ask(question));
  if (response === undefined || responseCodeOf(response) === 2) return undefined;
  return decodeAnswers(response);
}
