import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import { encodeOpenApiV2 } from '../openapi/openapi-v2-protobuf.ts';
import type { OpenApiSource } from '../openapi/serve-openapi.ts';
import type { ApiServiceIndex, RemoteApi } from './api-service-index.ts';
import type { FetchRemote } from './remote-documents.ts';

interface Known {
  /** Of the v3 document; undefined where the server has none. */
  readonly hash: string | undefined;
  readonly etag: string | undefined;
  readonly paths: Readonly<Record<string, object>>;
  readonly definitions: Readonly<Record<string, object>>;
  readonly parameters: Readonly<Record<string, object>>;
}

const NOTHING: Known = { hash: undefined, etag: undefined, paths: {}, definitions: {}, parameters: {} };

/** The OpenAPI documents of the servers behind APIServices: v2 is merged into ours, of v3 we tell the hashes and pass requests on. */
export class RemoteOpenApi implements OpenApiSource {
  revision = 0;
  readonly #index: ApiServiceIndex;
  readonly #known = new Map<string, Known>();

  constructor(index: ApiServiceIndex) {
    this.#index = index;
  }

  roots(): Readonly<Record<string, string>> {
    const roots: Record<string, string> = {};
    for (const remote of this.#index.remotes) {
      const hash = this.#known.get(remote.name)?.hash;
      if (hash !== undefined) roots[rootOf(remote)] = hash;
    }
    return roots;
  }

  swagger() {
    const known = [...this.#index.remotes].map(({ name }) => this.#known.get(name) ?? NOTHING);
    return {
      paths: Object.assign({}, ...known.map(({ paths }) => paths)) as Record<string, object>,
      definitions: Object.assign({}, ...known.map(({ definitions }) => definitions)) as Record<string, object>,
      parameters: Object.assign({}, ...known.map(({ parameters }) => parameters)) as Record<string, object>,
    };
  }

  /** Asks anew. Rejects when the server does not answer; what it told last stays. */
  async refresh(remote: RemoteApi, fetch: FetchRemote): Promise<void> {
    const before = this.#known.get(remote.name) ?? NOTHING;
    const index = await fetch(remote, { path: '/openapi/v3', accept: 'application/json' });
    const hash = hashOf(index.body, remote);
    const swagger = await fetch(remote, { path: '/openapi/v2', accept: 'application/json', etag: before.etag });
    const isSame = swagger.status === 304;
    const next = isSame ? { ...before, hash } : { hash, etag: swagger.etag, ...partOf(swagger.body, remote) };
    this.#known.set(remote.name, next);
    if (!isSame || before.hash !== hash) this.revision++;
  }

  forget(name: string): void {
    if (this.#known.delete(name)) this.revision++;
  }
}

const rootOf = ({ group, version }: RemoteApi): string => `apis/${group}/${version}`;

function hashOf(index: JsonObject | undefined, remote: RemoteApi): string | undefined {
  const entry = isJsonObject(index?.paths) ? index.paths[rootOf(remote)] : undefined;
  const url = isJsonObject(entry) ? entry.serverRelativeURL : undefined;
  return typeof url === 'string' ? (new URL(url, 'https://remote').searchParams.get('hash') ?? undefined) : undefined;
}

/** Of a server's document only what belongs to the APIService's own group and version: it may not describe others' paths. */
function partOf(
  document: JsonObject | undefined,
  remote: RemoteApi,
): Pick<Known, 'paths' | 'definitions' | 'parameters'> {
  const { paths, definitions, parameters } = NOTHING;
  if (!isJsonObject(document?.paths) || !isJsonObject(document.definitions)) return { paths, definitions, parameters };
  const prefix = `/${rootOf(remote)}/`;
  const own = Object.entries(document.paths).filter(([path]) => `${path}/`.startsWith(prefix));
  const part = {
    paths: Object.fromEntries(own) as Record<string, object>,
    definitions: document.definitions as Record<string, object>,
    parameters: (isJsonObject(document.parameters) ? document.parameters : {}) as Record<string, object>,
  };
  return isWellFormed(part) ? part : { paths, definitions, parameters };
}

/** What cannot be written would take the document of all servers from everybody. */
function isWellFormed(part: object): boolean {
  try {
    encodeOpenApiV2(part, () => {});
    return true;
  } catch {
    return false;
  }
}
