import { createHash } from 'node:crypto';
import { ApiError } from '#api/object/api-error.ts';
import type { GroupVersionKind } from '#api/object/group-version.ts';
import type { TypeTable } from '#api/schema/type-table.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { encodeJson, JSON_TYPE, sendJson } from '../chain/status-answer.ts';
import { acceptClauses } from '../handlers/negotiation.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { VersionInfo } from '../server/version-info.ts';
import { encodeOpenApiV2, OPENAPI_V2_PROTOBUF } from './openapi-v2-protobuf.ts';
import { pathItem } from './operation.ts';
import { ParameterWriter } from './parameters.ts';
import { discoveryItem, pathItems } from './path-items.ts';
import { type PlainPath, plainPaths } from './plain-paths.ts';
import {
  API_RESOURCE_LIST,
  DELETE_OPTIONS,
  type Flavor,
  PATCH,
  type Schema,
  STATUS,
  schemaClosure,
  WATCH_EVENT,
} from './type-schema.ts';

export interface OpenApiOptions {
  readonly catalog: ResourceCatalog;
  readonly types: TypeTable;
  readonly version: VersionInfo;
  readonly sources?: readonly OpenApiSource[];
}

/** OpenAPI of groups that another server answers behind this one. Whoever passes their requests on serves `/openapi/v3/<root>` too. */
export interface OpenApiSource {
  /** Changes whenever one of the answers does. */
  readonly revision: number;
  /** Hash of the v3 document of each root, such as `apis/metrics.k8s.io/v1beta1`. */
  roots(): Readonly<Record<string, string>>;
  /** What belongs into the v2 document of all. */
  swagger(): {
    readonly paths: Readonly<Record<string, object>>;
    readonly definitions: Readonly<Record<string, object>>;
    /** What `#/parameters/` refers to. */
    readonly parameters: Readonly<Record<string, object>>;
  };
}

const V3 = '/openapi/v3';

/**
 * Answers the OpenAPI paths; false for others. Documents are built from the type table for each request and dropped: clients cache them
 * by hash, and megabytes of schema would sit in memory for the few minutes a year in which somebody asks.
 */
export function createOpenApi(options: OpenApiOptions): (context: RequestContext) => boolean {
  const hashes = new RootHashes(options);
  return (context) => {
    const { path } = context.info;
    if (path === '/openapi/v2') {
      const build = () => wholeDocument(options);
      const hasForeign = options.sources?.some((source) => Object.keys(source.swagger().paths).length > 0) ?? false;
      serveDocument(context, { tag: `${hashes.ofAll()}-v2`, forms: V2_FORMS, build, hasForeign });
      return true;
    }
    if (path === V3 || path === `${V3}/`) {
      sendJson(context.response, 200, index(hashes.byRoot()));
      return true;
    }
    if (!path.startsWith(`${V3}/`)) return false;
    const root = path.slice(V3.length + 1);
    const content = contentOfRoot(options, root);
    if (content === undefined) return false;
    const tag = hashes.byRoot().get(root) ?? '';
    if ((context.info.query.get('hash') ?? tag) !== tag) {
      // What is answered at a URL with a hash is kept for ever, so no other document may be answered there.
      context.response.send(301, { location: `${path}?hash=${tag}` }, new Uint8Array());
      return true;
    }
    const build = () => document(options, content, 3);
    serveDocument(context, { tag, forms: V3_FORMS, build });
    return true;
  };
}

/** Hash of each root's document, kept until the catalog or a source changes. A change in one group leaves the others' as they are. */
class RootHashes {
  readonly #options: OpenApiOptions;
  #revision = '';
  #hashes: ReadonlyMap<string, string> = new Map();
  #all = '';

  constructor(options: OpenApiOptions) {
    this.#options = options;
  }

  byRoot(): ReadonlyMap<string, string> {
    const { catalog, sources = [] } = this.#options;
    const revision = [catalog, ...sources].map((one) => one.revision).join();
    if (revision === this.#revision) return this.#hashes;
    const plain = plainPaths(catalog.definitions).map(({ root }) => root);
    const roots = [...new Set([...plain, ...catalog.definitions.map(rootOf)])];
    const own = roots.map((root) => [root, rootHash(this.#options, root)] as const);
    const foreign = sources.flatMap((source) => Object.entries(source.roots()));
    this.#hashes = new Map([...own, ...foreign].sort(([a], [b]) => (a < b ? -1 : 1)));
    this.#all = hashOf([...this.#hashes].map((pair) => pair.join(' ')));
    this.#revision = revision;
    return this.#hashes;
  }

  ofAll(): string {
    this.byRoot();
    return this.#all;
  }
}

const hashOf = (lines: readonly string[]) => createHash('sha256').update(lines.join('\n')).digest('hex').toUpperCase();

const rootOf = ({ group, version }: ResourceDefinition) =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`;

/** What a document tells of. */
interface Content {
  readonly definitions: readonly ResourceDefinition[];
  readonly plain: readonly PlainPath[];
}

function contentOfRoot({ catalog }: OpenApiOptions, root: string): Content | undefined {
  const definitions = catalog.definitions.filter((one) => rootOf(one) === root);
  const plain = plainPaths(catalog.definitions).filter((one) => one.root === root);
  return definitions.length + plain.length === 0 ? undefined : { definitions, plain };
}

function index(hashes: ReadonlyMap<string, string>): object {
  const entries = [...hashes].map(([root, hash]) => [root, { serverRelativeURL: `${V3}/${root}?hash=${hash}` }]);
  return { paths: Object.fromEntries(entries) };
}

/** A way to write a document. */
interface Form {
  readonly contentType: string;
  /** Clients that keep both forms tell them apart by it. */
  readonly tag: string;
  readonly encode: (document: object, options: { hasForeign: boolean }) => Uint8Array;
}

const JSON_FORM: Form = { contentType: JSON_TYPE, tag: '', encode: encodeJson };
/** What other servers say and protobuf has no field for is left out, lest one of them takes the document from everybody. */
function encodeWhole(document: object, { hasForeign }: { hasForeign: boolean }): Uint8Array {
  return hasForeign ? encodeOpenApiV2(document, () => {}) : encodeOpenApiV2(document);
}

const V2_PROTOBUF_FORM: Form = { contentType: OPENAPI_V2_PROTOBUF, tag: '-protobuf', encode: encodeWhole };

type Forms = Readonly<Record<string, Form>>;

const V3_FORMS: Forms = { [JSON_TYPE]: JSON_FORM, 'application/*': JSON_FORM, '*/*': JSON_FORM };
const V2_FORMS: Forms = {
  ...V3_FORMS,
  [OPENAPI_V2_PROTOBUF]: V2_PROTOBUF_FORM,
  // What client-go asks for: the name of old, which is no legal media type.
  'application/com.github.proto-openapi.spec.v2@v1.0+protobuf': V2_PROTOBUF_FORM,
};

/** Throws 406 for a client that wants none of the forms; another one in its place would only confuse it. */
function chooseForm(accept: string | undefined, forms: Forms): Form {
  if (accept === undefined || accept === '') return JSON_FORM;
  for (const { type } of acceptClauses(accept)) {
    if (Object.hasOwn(forms, type)) return forms[type]!;
  }
  const types = [...new Set(Object.values(forms).map(({ contentType }) => contentType))].join(', ');
  throw new ApiError(406, 'NotAcceptable', `only the following media types are accepted: ${types}`);
}

interface ServedDocument {
  /** Changes with the content. */
  readonly tag: string;
  readonly forms: Forms;
  readonly build: () => object;
  /** Other servers have their part in it. */
  readonly hasForeign?: boolean;
}

function serveDocument(context: RequestContext, { tag, forms, build, hasForeign = false }: ServedDocument): void {
  const form = chooseForm(context.request.header('accept'), forms);
  const etag = `"${tag}${form.tag}"`;
  // A URL with its hash always has the same answer.
  const caching = context.info.query.has('hash')
    ? { 'cache-control': 'public, immutable, max-age=31536000' }
    : { 'cache-control': 'no-cache, private' };
  const headers = { etag, vary: 'Accept', ...caching };
  if (context.request.header('if-none-match') === etag) context.response.send(304, headers, new Uint8Array());
  else
    context.response.send(200, { ...headers, 'content-type': form.contentType }, form.encode(build(), { hasForeign }));
}

function wholeDocument(options: OpenApiOptions): object {
  const { definitions } = options.catalog;
  const own = document(options, { definitions, plain: plainPaths(definitions) }, 2) as Record<
    'paths' | 'definitions' | 'parameters',
    object
  >;
  const foreign = (options.sources ?? []).map((source) => source.swagger());
  return {
    ...own,
    paths: Object.assign({}, ...foreign.map(({ paths }) => paths), own.paths),
    definitions: Object.assign({}, ...foreign.map(({ definitions }) => definitions), own.definitions),
    parameters: Object.assign({}, ...foreign.map(({ parameters }) => parameters), own.parameters),
  };
}

/** Kinds that operations on all others speak of. */
const SHARED_SCHEMAS = [API_RESOURCE_LIST, DELETE_OPTIONS, PATCH, STATUS, WATCH_EVENT];

/** Clients send what authenticates them in the header `Authorization`. */
const SECURITY = {
  security: [{ BearerToken: [] }],
  definitions: {
    BearerToken: {
      description: 'A bearer token, with the word Bearer before it.',
      in: 'header',
      name: 'authorization',
      type: 'apiKey',
    },
  },
};

function document(options: OpenApiOptions, content: Content, flavor: Flavor): object {
  const { types, version } = options;
  const { definitions, plain } = content;
  const schemas = documentSchemas(options, content, flavor);
  const parameters = new ParameterWriter(flavor);
  const schemaOf = schemaNames(schemas);
  const items = definitions.map((definition) => {
    const omit = omittedParameters(definition, options, flavor);
    return pathItems(definition, { flavor, types, parameters, schemaOf, omit });
  });
  const paths = Object.assign(
    {},
    ...items,
    ...definitions.map((one) => discoveryItem(one, { flavor, parameters })),
    ...plain.map(({ path, get }) => ({ [path]: pathItem(path, { get }, { flavor, parameters }) })),
  );
  const info = { title: 'Kubernetes', version: version.gitVersion };
  const { security } = SECURITY;
  return flavor === 3
    ? { openapi: '3.0.0', info, paths, components: { schemas, securitySchemes: SECURITY.definitions }, security }
    : {
        swagger: '2.0',
        info,
        paths,
        definitions: schemas,
        parameters: parameters.shared,
        security,
        securityDefinitions: SECURITY.definitions,
      };
}

function documentSchemas({ types }: OpenApiOptions, { definitions, plain }: Content, flavor: Flavor) {
  const custom = definitions.flatMap(({ openApi }) => openApi ?? []);
  const roots = [
    ...rootTypes(types, definitions),
    ...custom.flatMap(({ references }) => references),
    ...plain.flatMap(({ get }) => get.answer ?? []),
    ...(definitions.length === 0 ? [] : SHARED_SCHEMAS),
  ];
  return Object.assign(
    schemaClosure(roots, flavor, (name) => types.byName(name)),
    ...custom.map((models) => models.schemas(flavor)),
  ) as Record<string, Schema>;
}

const gvkKey = ({ group, version, kind }: GroupVersionKind) => `${group}/${version}/${kind}`;

/** Finds the schema of a kind among those of a document. */
function schemaNames(schemas: Readonly<Record<string, Schema>>): (gvk: GroupVersionKind) => string | undefined {
  const names = new Map<string, string>();
  for (const [name, schema] of Object.entries(schemas)) {
    for (const gvk of (schema['x-kubernetes-group-version-kind'] ?? []) as GroupVersionKind[]) {
      names.set(gvkKey(gvk), name);
    }
  }
  return (gvk) => names.get(gvkKey(gvk));
}

/**
 * Of a kind that it does not find in v2, kubectl supposes that it is a custom one if Namespaces have `fieldValidation`, and gives up
 * when it cannot list CustomResourceDefinitions. A server without those says so by keeping the parameter back; then kubectl goes on to
 * `no matches for kind`. For Namespaces themselves kubectl looks in v3.
 */
function omittedParameters(definition: ResourceDefinition, { catalog }: OpenApiOptions, flavor: Flavor): string[] {
  if (flavor === 3 || definition.group !== '' || definition.kind !== 'Namespace') return [];
  const hasCustomKinds = catalog.definitions.some(({ kind }) => kind === 'CustomResourceDefinition');
  return hasCustomKinds ? [] : ['fieldValidation'];
}

/** Names of the types that the resources' requests and answers consist of. */
function rootTypes(types: TypeTable, definitions: readonly ResourceDefinition[]): string[] {
  const gvks = definitions.flatMap((definition) => [
    definition,
    { ...definition, kind: definition.listKind ?? `${definition.kind}List` },
    ...definition.subresources.flatMap(({ kind, connects }) => (connects === true ? [] : kind)),
  ]);
  return gvks.flatMap((gvk) => types.typeOf(gvk)?.name ?? []);
}

/** Changes with the code that writes documents: clients keep them by their hashes. */
const FORM = 'form 3';

/** Changes whenever the served kinds of the root or the server's version do. */
function rootHash({ catalog, version }: OpenApiOptions, root: string): string {
  const kinds = catalog.definitions
    .filter((definition) => rootOf(definition) === root)
    .map(
      ({ group, version: v, resource, verbs, subresources, openApi }) =>
        `${group}/${v}/${resource}:${verbs.join()}:${subresources.map(({ name }) => name).join()}:${openApi?.hash ?? ''}`,
    );
  return hashOf([root, version.gitVersion, FORM, ...kinds]);
}
