import { createHash } from 'node:crypto';
import { ApiError } from '#api/object/api-error.ts';
import type { TypeDef, TypeTable } from '#api/schema/type-table.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { encodeJson, sendJson } from '../chain/status-answer.ts';
import type { ResourceCatalog } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { VersionInfo } from '../server/version-info.ts';
import { pathItems } from './path-items.ts';
import { type Flavor, schemaClosure } from './type-schema.ts';

export interface OpenApiOptions {
  readonly catalog: ResourceCatalog;
  readonly types: TypeTable;
  readonly version: VersionInfo;
}

const V3 = '/openapi/v3';

/**
 * Answers the OpenAPI paths; false for others. Documents are built from the type table for each request and dropped: clients cache them
 * by hash, and megabytes of schema would sit in memory for the few minutes a year in which somebody asks.
 */
export function createOpenApi(options: OpenApiOptions): (context: RequestContext) => boolean {
  const hash = catalogHash(options);
  return (context) => {
    const { path } = context.info;
    if (path === '/openapi/v2') {
      serveDocument(context, `${hash}-v2`, () => document(options, options.catalog.definitions, 2));
      return true;
    }
    if (path === V3 || path === `${V3}/`) {
      sendJson(context.response, 200, index(options, hash));
      return true;
    }
    if (!path.startsWith(`${V3}/`)) return false;
    const definitions = options.catalog.definitions.filter((one) => rootOf(one) === path.slice(V3.length + 1));
    if (definitions.length === 0) return false;
    serveDocument(context, `${hash}-${path}`, () => document(options, definitions, 3));
    return true;
  };
}

const rootOf = ({ group, version }: ResourceDefinition) =>
  group === '' ? `api/${version}` : `apis/${group}/${version}`;

function index({ catalog }: OpenApiOptions, hash: string): object {
  const roots = [...new Set(catalog.definitions.map(rootOf))].sort();
  return {
    paths: Object.fromEntries(roots.map((root) => [root, { serverRelativeURL: `${V3}/${root}?hash=${hash}` }])),
  };
}

/** Some clients ask for a protobuf form of these documents alone; JSON in its place would only confuse them. */
function requireJson(context: RequestContext): void {
  const accept = context.request.header('accept') ?? '';
  if (accept === '' || /application\/json|application\/\*|\*\/\*/.test(accept)) return;
  throw new ApiError(406, 'NotAcceptable', 'only the following media types are accepted: application/json');
}

function serveDocument(context: RequestContext, tag: string, build: () => object): void {
  requireJson(context);
  const etag = `"${tag}"`;
  // A URL with its hash always has the same answer.
  const caching = context.info.query.has('hash')
    ? { 'cache-control': 'public, immutable, max-age=31536000' }
    : { 'cache-control': 'no-cache, private' };
  const headers = { etag, vary: 'Accept', ...caching };
  if (context.request.header('if-none-match') === etag) context.response.send(304, headers, new Uint8Array());
  else context.response.send(200, { ...headers, 'content-type': 'application/json' }, encodeJson(build()));
}

function document(options: OpenApiOptions, definitions: readonly ResourceDefinition[], flavor: Flavor): object {
  const { types, version } = options;
  const schemas = schemaClosure(rootTypes(types, definitions), flavor, (name) => types.byName(name));
  const paths = Object.assign({}, ...definitions.map((definition) => pathItems(definition, flavor)));
  const info = { title: 'Kubernetes', version: version.gitVersion };
  return flavor === 3
    ? { openapi: '3.0.0', info, paths, components: { schemas } }
    : { swagger: '2.0', info, paths, definitions: schemas };
}

function rootTypes(types: TypeTable, definitions: readonly ResourceDefinition[]): TypeDef[] {
  const gvks = definitions.flatMap((definition) => [
    definition,
    { ...definition, kind: `${definition.kind}List` },
    ...definition.subresources.map(({ kind }) => kind),
  ]);
  return gvks.flatMap(({ group, version, kind }) => types.typeOf({ group, version, kind }) ?? []);
}

/** Changes whenever the served kinds or the server's version do. */
function catalogHash({ catalog, version }: OpenApiOptions): string {
  const kinds = catalog.definitions.map(
    ({ group, version: v, resource, verbs, subresources }) =>
      `${group}/${v}/${resource}:${verbs.join()}:${subresources.map(({ name }) => name).join()}`,
  );
  return createHash('sha256')
    .update([version.gitVersion, ...kinds].join('\n'))
    .digest('hex')
    .toUpperCase();
}
