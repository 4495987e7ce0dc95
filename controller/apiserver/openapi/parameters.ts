import { createHash } from 'node:crypto';
import type { FieldDef, TypeDef } from '#api/schema/type-table.ts';
import type { Flavor, Schema } from './type-schema.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly type: ParameterType;
  readonly description: string;
}

type ParameterType = 'boolean' | 'integer' | 'string';

const QUERY: Readonly<Record<string, readonly [type: ParameterType, description: string]>> = {
  allowWatchBookmarks: ['boolean', 'Whether a watch may send events of type BOOKMARK.'],
  continue: ['string', 'Where the page begins: metadata.continue of the page before.'],
  dryRun: ['string', 'All: do everything but store the outcome.'],
  fieldManager: ['string', 'The name under which metadata.managedFields notes the change.'],
  fieldSelector: ['string', 'Only objects whose fields match.'],
  fieldValidation: ['string', 'What happens to unknown and duplicate fields: Ignore, Warn or Strict.'],
  force: ['boolean', 'Take over fields that another manager owns. For apply alone.'],
  gracePeriodSeconds: ['integer', 'Seconds until the object has to be gone; 0 is at once.'],
  labelSelector: ['string', 'Only objects whose labels match.'],
  limit: ['integer', 'The most objects that one page may have.'],
  orphanDependents: ['boolean', 'Whether dependents stay behind; propagationPolicy says the same in more detail.'],
  pretty: ['string', 'Whether JSON has line breaks and is indented.'],
  propagationPolicy: ['string', 'What happens to dependents: Orphan, Background or Foreground.'],
  resourceVersion: ['string', 'The state to list, or the state after which a watch begins.'],
  resourceVersionMatch: ['string', 'How resourceVersion is meant: Exact or NotOlderThan.'],
  sendInitialEvents: ['boolean', 'Whether a watch begins with the objects that are there already.'],
  timeoutSeconds: ['integer', 'Seconds after which the server ends the request.'],
  watch: ['boolean', 'Answer changes as they happen rather than a list.'],
};

const known = new Map<string, Parameter>();

/** A query parameter that the API itself has. Throws for a name that it does not know. */
export function queryParameter(name: string): Parameter {
  let parameter = known.get(name);
  if (parameter === undefined) {
    const [type, description] = QUERY[name] ?? [];
    if (type === undefined || description === undefined) throw new Error(`no query parameter is called ${name}`);
    parameter = { name, in: 'query', type, description };
    known.set(name, parameter);
  }
  return parameter;
}

const IN_PATH: Readonly<Record<string, Parameter>> = {
  name: { name: 'name', in: 'path', type: 'string', description: 'Name of the object.' },
  namespace: { name: 'namespace', in: 'path', type: 'string', description: 'Namespace of the object.' },
  path: { name: 'path', in: 'path', type: 'string', description: 'Path of the resource behind the proxy.' },
};

/** The parameters of a path such as `/api/v1/namespaces/{namespace}/pods`. */
export function pathParameters(path: string): Parameter[] {
  return [...path.matchAll(/\{(\w+)\}/g)].flatMap(([, name = '']) => IN_PATH[name] ?? []);
}

/** What a client may say in the query of a request that leads into a stream: the fields of its options. */
export function optionParameters(options: TypeDef | undefined): Parameter[] {
  return [...(options?.fields.values() ?? [])].flatMap((field) => {
    // An instant has no form in a query that all clients would agree on, so that Kubernetes does not tell of `sinceTime` either.
    if (field.name === 'apiVersion' || field.name === 'kind' || field.kind === 'time') return [];
    return [{ name: field.name, in: 'query', type: optionType(field), description: `${field.name} of the options.` }];
  });
}

function optionType({ kind }: FieldDef): ParameterType {
  if (kind === 'bool') return 'boolean';
  return kind === 'int32' || kind === 'int64' ? 'integer' : 'string';
}

/** kubectl looks for these in the operations themselves, to find out what the server can do. */
const NEVER_SHARED: ReadonlySet<string> = new Set(['dryRun', 'fieldValidation']);

/** Writes parameters; in v2 most stand once in the document, and operations refer to them. */
export class ParameterWriter {
  readonly #flavor: Flavor;
  readonly #shared = new Map<string, Schema>();
  readonly #written = new Map<string, Schema>();

  constructor(flavor: Flavor) {
    this.#flavor = flavor;
  }

  /** The parameters that references name, sorted. */
  get shared(): Readonly<Record<string, Schema>> {
    return Object.fromEntries([...this.#shared].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  write(parameter: Parameter): Schema {
    const key = `${parameter.in} ${parameter.name} ${parameter.type}`;
    let written = this.#written.get(key);
    if (written === undefined) {
      written = this.#share(parameter.name, writeParameter(parameter, this.#flavor));
      this.#written.set(key, written);
    }
    return written;
  }

  #share(name: string, whole: Schema): Schema {
    if (this.#flavor === 3 || NEVER_SHARED.has(name)) return whole;
    // Documents of other servers are merged into ours: equal names must mean equal parameters.
    const hash = createHash('sha256').update(JSON.stringify(whole)).digest('base64url').slice(0, 8);
    this.#shared.set(`${name}-${hash}`, whole);
    return { $ref: `#/parameters/${name}-${hash}` };
  }
}

function writeParameter({ name, in: place, type, description }: Parameter, flavor: Flavor): Schema {
  const shape = { type, uniqueItems: true };
  return {
    description,
    in: place,
    name,
    ...(place === 'path' ? { required: true } : {}),
    ...(flavor === 3 ? { schema: shape } : shape),
  };
}
