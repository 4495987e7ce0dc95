import dnsPacket, { type Answer, type Packet } from 'dns-packet';
import type { DnsRecord } from './cluster-zone.ts';

/** A question as far as a server must understand it; `bytes` are the whole message. */
export interface DnsQuery {
  readonly bytes: Uint8Array;
  readonly id: number;
  /** As the client wrote it: it compares upper and lower case of the answer's copy. */
  readonly name: string;
  readonly type: string;
  readonly isInternet: boolean;
  readonly isStandard: boolean;
  readonly recursionDesired: boolean;
  /** Largest answer that the client takes over UDP. */
  readonly maxUdpBytes: number;
  readonly hasEdns: boolean;
  readonly dnssecOk: boolean;
  /** Where the question ends in `bytes`. */
  readonly questionEnd: number;
}

export type ResponseCode = 'NOERROR' | 'FORMERR' | 'SERVFAIL' | 'NXDOMAIN' | 'NOTIMP' | 'REFUSED';

const RESPONSE_CODES: Readonly<Record<ResponseCode, number>> = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
};

const HEADER_BYTES = 12;
const PLAIN_UDP_BYTES = 512;
/** What passes every path unfragmented (DNS flag day 2020). */
const MAX_UDP_BYTES = 1_232;
const FLAG_RESPONSE = 1 << 15;
const FLAG_AUTHORITATIVE = 1 << 10;
const FLAG_TRUNCATED = 1 << 9;
const FLAG_RECURSION_DESIRED = 1 << 8;
const FLAG_RECURSION_AVAILABLE = 1 << 7;

/** Undefined for what is no question at all (answers too: two servers must not talk to each other for ever). */
export function parseQuery(bytes: Uint8Array): DnsQuery | undefined {
  if (bytes.length < HEADER_BYTES || (bytes[2]! & 0x80) !== 0) return undefined;
  try {
    const packet = dnsPacket.decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    const [question] = packet.questions ?? [];
    if (question === undefined || packet.questions?.length !== 1) return undefined;
    const opt = packet.additionals?.find(({ type }) => type === 'OPT') as
      | { udpPayloadSize?: number; flag_do?: boolean }
      | undefined;
    const offered = opt?.udpPayloadSize ?? PLAIN_UDP_BYTES;
    return {
      bytes,
      id: packet.id ?? 0,
      name: question.name,
      type: question.type,
      isInternet: (question.class ?? 'IN') === 'IN',
      isStandard: ((bytes[2]! >> 3) & 0xf) === 0,
      recursionDesired: ((packet.flags ?? 0) & FLAG_RECURSION_DESIRED) !== 0,
      maxUdpBytes: Math.min(Math.max(offered, PLAIN_UDP_BYTES), MAX_UDP_BYTES),
      hasEdns: opt !== undefined,
      dnssecOk: opt?.flag_do === true,
      questionEnd: skipName(bytes, HEADER_BYTES) + 4,
    };
  } catch {
    return undefined;
  }
}

export interface DnsResponse {
  readonly code: ResponseCode;
  readonly authoritative: boolean;
  readonly answers?: readonly DnsRecord[];
  readonly authorities?: readonly DnsRecord[];
  readonly additionals?: readonly DnsRecord[];
}

/** Answers may be of any type here: those that other servers gave are passed on. */
export function encodeResponse(query: DnsQuery, response: DnsResponse, more: readonly Answer[] = []): Uint8Array {
  const flags =
    FLAG_RECURSION_AVAILABLE |
    (response.authoritative ? FLAG_AUTHORITATIVE : 0) |
    (query.recursionDesired ? FLAG_RECURSION_DESIRED : 0) |
    RESPONSE_CODES[response.code];
  const opt = query.hasEdns
    ? [{ type: 'OPT', name: '.', udpPayloadSize: MAX_UDP_BYTES, flags: query.dnssecOk ? 1 << 15 : 0, options: [] }]
    : [];
  const packet = {
    type: 'response',
    id: query.id,
    flags,
    questions: [{ type: query.type, name: query.name, class: 'IN' }],
    answers: [...(response.answers ?? []), ...more],
    authorities: response.authorities ?? [],
    additionals: [...(response.additionals ?? []), ...opt],
  };
  const bytes: Uint8Array = dnsPacket.encode(packet as unknown as Packet);
  // Class and all as the client wrote them: some compare byte by byte.
  bytes.set(query.bytes.subarray(HEADER_BYTES, query.questionEnd), HEADER_BYTES);
  return bytes;
}

/** The answer to what could be read no further than its header. */
export function encodeFormatError(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < HEADER_BYTES || (bytes[2]! & 0x80) !== 0) return undefined;
  const head = new Uint8Array(HEADER_BYTES);
  head.set(bytes.subarray(0, 2));
  head[2] = 0x80 | (bytes[2]! & 0x79);
  head[3] = 0x80 | RESPONSE_CODES.FORMERR;
  return head;
}

/** Without its records and with the flag that tells the client to ask over TCP. */
export function truncate(query: DnsQuery, response: Uint8Array): Uint8Array {
  const cut = encodeResponse(query, { code: 'NOERROR', authoritative: false });
  cut[2] = (response[2] ?? 0x80) | (FLAG_TRUNCATED >> 8);
  cut[3] = response[3] ?? 0;
  return cut;
}

export function encodeQuery(name: string, type: string, id: number): Uint8Array {
  const packet = { type: 'query', id, flags: FLAG_RECURSION_DESIRED, questions: [{ type, name, class: 'IN' }] };
  return dnsPacket.encode(packet as unknown as Packet);
}

export const decodeAnswers = (bytes: Uint8Array): readonly Answer[] =>
  dnsPacket.decode(Buffer.from(bytes)).answers ?? [];

/** In memory of its own. `slice` would not do: that of a Buffer, which messages from sockets are, shares the memory. */
export const copyOf = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

export const responseCodeOf = (bytes: Uint8Array): number => (bytes[3] ?? 0) & 0xf;
export const isTruncated = (bytes: Uint8Array): boolean => ((bytes[2] ?? 0) & (FLAG_TRUNCATED >> 8)) !== 0;
export const isResponse = (bytes: Uint8Array): boolean => ((bytes[2] ?? 0) & (FLAG_RESPONSE >> 8)) !== 0;

export interface RecordTimes {
  /** Where the TTLs stand in the message, those of OPT aside. */
  readonly offsets: readonly number[];
  /** The shortest of them; undefined without records. */
  readonly minimumTtl: number | undefined;
  /** Of the SOA in a negative answer: how long to remember that there is nothing. */
  readonly negativeTtl: number | undefined;
}

const TYPE_OPT = 41;
const TYPE_SOA = 6;

/** Walks over all records of a response; throws RangeError when it is cut off. */
export function findTtls(bytes: Uint8Array): RecordTimes {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = HEADER_BYTES;
  for (let i = view.getUint16(4); i > 0; i--) at = skipName(bytes, at) + 4;
  const offsets: number[] = [];
  let minimumTtl: number | undefined;
  let negativeTtl: number | undefined;
  for (let left = view.getUint16(6) + view.getUint16(8) + view.getUint16(10); left > 0; left--) {
    at = skipName(bytes, at);
    const type = view.getUint16(at);
    const ttl = view.getUint32(at + 4);
    const end = at + 10 + view.getUint16(at + 8);
    if (type !== TYPE_OPT) {
      offsets.push(at + 4);
      minimumTtl = Math.min(minimumTtl ?? ttl, ttl);
    }
    if (type === TYPE_SOA) negativeTtl = Math.min(ttl, view.getUint32(end - 4));
    at = end;
  }
  return { offsets, minimumTtl, negativeTtl };
}

function skipName(bytes: Uint8Array, start: number): number {
  let at = start;
  for (;;) {
    const length = bytes[at];
    if (length === undefined) throw new RangeError('message ends within a name');
    if (length === 0) return at + 1;
    if ((length & 0xc0) === 0xc0) return at + 2;
    at += length + 1;
  }
}
