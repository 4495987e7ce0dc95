import { ApiError } from '#api/object/api-error.ts';

export interface Representation {
  readonly media: 'json' | 'yaml' | 'protobuf';
  /** What becomes of objects and lists on their way out. */
  readonly as: 'Object' | 'Table' | 'PartialObjectMetadata' | 'PartialObjectMetadataList';
  /** Version of meta.k8s.io in which Tables and partial objects are written. */
  readonly version: 'v1' | 'v1beta1';
}

const PLAIN: Representation = { media: 'json', as: 'Object', version: 'v1' };

const MEDIA_OF: Readonly<Record<string, Representation['media']>> = {
  'application/json': 'json',
  'application/*': 'json',
  '*/*': 'json',
  'application/yaml': 'yaml',
  'application/vnd.kubernetes.protobuf': 'protobuf',
};

const TRANSFORMS: ReadonlySet<string> = new Set(['Table', 'PartialObjectMetadata', 'PartialObjectMetadataList']);

export const CONTENT_TYPES: Readonly<Record<Representation['media'], string>> = {
  json: 'application/json',
  yaml: 'application/yaml',
  protobuf: 'application/vnd.kubernetes.protobuf',
};

const known = new Map<string, Representation | undefined>();
/** Clients send a handful of Accept headers; a hostile one must not fill the memory with more. */
const MAX_KNOWN = 256;

/**
 * The first clause of an Accept header that the server can fulfil; throws 406 when there is none. Custom resources have no protobuf form
 * of their own, but metadata alone is the same message for every kind.
 */
export function negotiate(accept: string | undefined, isCustom = false): Representation {
  if (accept === undefined || accept === '' || accept === 'application/json' || accept === '*/*') return PLAIN;
  const key = isCustom ? `custom ${accept}` : accept;
  if (!known.has(key)) {
    if (known.size >= MAX_KNOWN) known.clear();
    known.set(key, choose(accept, isCustom));
  }
  const chosen = known.get(key);
  if (chosen === undefined) {
    const types = Object.values(CONTENT_TYPES).join(', ');
    throw new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${types}`);
  }
  return chosen;
}

function choose(accept: string, isCustom: boolean): Representation | undefined {
  for (const { type, params } of acceptClauses(accept)) {
    const media = Object.hasOwn(MEDIA_OF, type) ? MEDIA_OF[type] : undefined;
    if (media === undefined) continue;
    const as = params.get('as');
    if (as === undefined && media === 'protobuf' && isCustom) continue;
    if (as === undefined) return { ...PLAIN, media };
    const version = params.get('v');
    if (params.get('g') !== 'meta.k8s.io' || !TRANSFORMS.has(as)) continue;
    if (media === 'protobuf' && as === 'Table') continue;
    if (version === 'v1' || version === 'v1beta1') return { media, as: as as Representation['as'], version };
  }
  return undefined;
}

export interface AcceptClause {
  /** In lower case. */
  readonly type: string;
  readonly params: ReadonlyMap<string, string>;
  readonly quality: number;
}

/** The media types that a client accepts, the one that it likes best first. */
export function acceptClauses(accept: string): AcceptClause[] {
  return accept
    .split(',')
    .map(parseClause)
    .filter((clause) => clause.quality > 0)
    .sort((a, b) => b.quality - a.quality || wildcards(a.type) - wildcards(b.type));
}

/** What names its type goes before what takes any. */
const wildcards = (type: string) => type.split('*').length - 1;

function parseClause(text: string): AcceptClause {
  const [type = '', ...rest] = text.split(';').map((part) => part.trim());
  const params = new Map(
    rest.map((part) => {
      const at = part.indexOf('=');
      return at < 0 ? ([part, ''] as const) : ([part.slice(0, at), part.slice(at + 1)] as const);
    }),
  );
  const quality = Number(params.get('q') ?? 1);
  return { type: type.toLowerCase(), params, quality: Number.isNaN(quality) ? 0 : quality };
}
