import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { TypeTable } from '#api/schema/type-table.ts';
import { answersLastState } from '../handlers/delete.ts';
import { CONTENT_TYPES } from '../handlers/negotiation.ts';
import { patchTypes } from '../handlers/patch-document.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import { ANYTHING, type Operation, pathItem } from './operation.ts';
import { capitalize, operationFamily } from './operation-name.ts';
import { optionParameters, type ParameterWriter, queryParameter } from './parameters.ts';
import { API_RESOURCE_LIST, DELETE_OPTIONS, type Flavor, PATCH, STATUS, WATCH_EVENT } from './type-schema.ts';

/** How a verb is told of: HTTP method, action, beginning of operation ids, query parameters and status codes. */
interface VerbForm {
  readonly method: string;
  readonly action: string;
  readonly id: string;
  readonly doing: string;
  readonly query: readonly string[];
  readonly codes: readonly number[];
}

const WRITE_QUERY = ['dryRun', 'fieldManager', 'fieldValidation'];
const LIST_QUERY = [
  'allowWatchBookmarks',
  'continue',
  'fieldSelector',
  'labelSelector',
  'limit',
  'resourceVersion',
  'resourceVersionMatch',
  'sendInitialEvents',
  'timeoutSeconds',
];
const WATCH_QUERY = [...LIST_QUERY, 'watch'];
const DELETE_QUERY = ['dryRun', 'gracePeriodSeconds', 'orphanDependents', 'propagationPolicy'];
const COLLECTION_QUERY = [...LIST_QUERY.filter((name) => name !== 'allowWatchBookmarks'), ...DELETE_QUERY].sort();

const form = (
  method: string,
  [action, id, doing]: readonly [string, string, string],
  rest: Partial<VerbForm> = {},
) => ({
  method,
  action,
  id,
  doing,
  query: [],
  codes: [200],
  ...rest,
});

const CREATE = form('post', ['post', 'create', 'Create'], { query: WRITE_QUERY, codes: [200, 201, 202] });

const COLLECTION: Readonly<Record<string, VerbForm>> = {
  list: form('get', ['list', 'list', 'List or watch'], { query: WATCH_QUERY }),
  create: CREATE,
  deletecollection: form('delete', ['deletecollection', 'delete', 'Delete all'], { query: COLLECTION_QUERY }),
};
const OBJECT: Readonly<Record<string, VerbForm>> = {
  get: form('get', ['get', 'read', 'Read']),
  update: form('put', ['put', 'replace', 'Replace'], { query: WRITE_QUERY, codes: [200, 201] }),
  patch: form('patch', ['patch', 'patch', 'Change parts of'], { query: [...WRITE_QUERY, 'force'], codes: [200, 201] }),
  delete: form('delete', ['delete', 'delete', 'Delete'], { query: DELETE_QUERY, codes: [200, 202] }),
  create: CREATE,
};

const CONNECT_METHODS: Readonly<Record<string, readonly string[]>> = {
  create: ['post'],
  delete: ['delete'],
  // A proxy passes on all that clients of the web say; the verbs of discovery have no word for these.
  get: ['get', 'head', 'options'],
  patch: ['patch'],
  update: ['put'],
};

export interface PathItemOptions {
  readonly flavor: Flavor;
  readonly types: TypeTable;
  readonly parameters: ParameterWriter;
  /** Name of the schema of a kind; undefined for kinds that have none. */
  readonly schemaOf: (gvk: GroupVersionKind) => string | undefined;
  /** Parameters that are kept back although the server takes them. */
  readonly omit?: readonly string[];
}

/**
 * The paths of a resource with all that clients and their generators look for: what goes in and comes out, under Kubernetes' names.
 * kubectl finds a kind's GVK, and whether the server validates fields and dry-runs, by extensions and parameters.
 */
export function pathItems(definition: ResourceDefinition, options: PathItemOptions): Record<string, object> {
  return new ResourcePaths(definition, options).items();
}

/** The path where discovery of a group and version begins. */
export function discoveryItem(
  definition: GroupVersionKind,
  { flavor, parameters }: Pick<PathItemOptions, 'flavor' | 'parameters'>,
): Record<string, object> {
  const { prefix, tag } = operationFamily(definition);
  const path = `${rootPath(definition)}/`;
  const get: Operation = {
    id: `get${prefix}APIResources`,
    tag,
    description: 'List the resources of this group and version',
    query: [],
    produces: BUILTIN_TYPES,
    codes: [200],
    answer: API_RESOURCE_LIST,
  };
  return { [path]: pathItem(path, { get }, { flavor, parameters }) };
}

const rootPath = ({ group, version }: GroupVersionKind) =>
  `${group === '' ? '/api' : '/apis'}/${apiVersionOf({ group, version })}`;

const CUSTOM_TYPES: readonly string[] = [CONTENT_TYPES.json, CONTENT_TYPES.yaml];
const BUILTIN_TYPES: readonly string[] = [...CUSTOM_TYPES, CONTENT_TYPES.protobuf];
const WATCH_TYPES: readonly string[] = [
  ...BUILTIN_TYPES,
  `${CONTENT_TYPES.json};stream=watch`,
  `${CONTENT_TYPES.protobuf};stream=watch`,
];

/** What an operation is about: the kind in its bodies, and what its id ends with. */
interface Subject {
  readonly gvk: GroupVersionKind;
  /** `NamespacedPodStatus`, `PodForAllNamespaces`. */
  readonly name: string;
}

class ResourcePaths {
  readonly #definition: ResourceDefinition;
  readonly #options: PathItemOptions;
  readonly #items: Record<string, object> = {};
  readonly #family;
  /** `NamespacedPod`, `Node`. */
  readonly #name: string;
  readonly #isCustom: boolean;

  constructor(definition: ResourceDefinition, options: PathItemOptions) {
    this.#definition = definition;
    this.#options = options;
    this.#family = operationFamily(definition);
    this.#name = `${definition.namespaced ? 'Namespaced' : ''}${definition.kind}`;
    this.#isCustom = definition.format !== undefined;
  }

  items(): Record<string, object> {
    const { kind, resource, namespaced, verbs, hasStatus, subresources } = this.#definition;
    const gvk = this.#definition;
    const root = rootPath(gvk);
    const base = `${namespaced ? '/namespaces/{namespace}' : ''}/${resource}`;
    const name = this.#name;
    if (namespaced && verbs.includes('list')) {
      this.#add(`${root}/${resource}`, this.#verbs(['list'], COLLECTION, { gvk, name: `${kind}ForAllNamespaces` }));
    }
    this.#add(`${root}${base}`, this.#verbs(verbs, COLLECTION, { gvk, name }));
    const named = verbs.filter((verb) => verb !== 'create');
    const object = `${root}${base}/{name}`;
    this.#add(object, this.#verbs(named, OBJECT, { gvk, name }));
    if (hasStatus) {
      this.#add(`${object}/status`, this.#verbs(['get', 'update', 'patch'], OBJECT, { gvk, name: `${name}Status` }));
    }
    for (const subresource of subresources) this.#addSubresource(`${object}/${subresource.name}`, subresource);
    // Kubernetes tells of the old watch paths for its own kinds alone.
    if (verbs.includes('watch') && !this.#isCustom) this.#addWatches(root, base);
    return this.#items;
  }

  #add(path: string, operations: Readonly<Record<string, Operation>>): void {
    if (Object.keys(operations).length > 0) this.#items[path] = pathItem(path, operations, this.#options);
  }

  #addSubresource(path: string, subresource: SubresourceDefinition): void {
    const name = `${this.#name}${capitalize(subresource.name)}`;
    if (subresource.connects !== true) {
      const gvk = subresource.kind;
      const isStream = subresource.handle !== undefined && subresource.verbs.join() === 'get';
      this.#add(
        path,
        isStream ? this.#stream(subresource, name) : this.#verbs(subresource.verbs, OBJECT, { gvk, name }),
      );
      return;
    }
    this.#add(path, this.#connections(subresource, name));
    if (subresource.name === 'proxy') {
      this.#add(`${path}/{path}`, this.#connections(subresource, `${name}WithPath`));
    }
  }

  #addWatches(root: string, base: string): void {
    const { kind, resource, namespaced } = this.#definition;
    const watch = (path: string, action: string, name: string) =>
      this.#add(`${root}/watch${path}`, {
        get: {
          ...this.#common(`watch${this.#family.prefix}${name}`, this.#query(WATCH_QUERY)),
          description: `Watch ${kind} objects; listing with the parameter watch is the newer way`,
          action: { name: action, gvk: this.#definition },
          produces: WATCH_TYPES,
          codes: [200],
          answer: WATCH_EVENT,
        },
      });
    if (namespaced) watch(`/${resource}`, 'watchlist', `${kind}ListForAllNamespaces`);
    watch(base, 'watchlist', `${this.#name}List`);
    watch(`${base}/{name}`, 'watch', this.#name);
  }

  #verbs(verbs: readonly string[], forms: typeof OBJECT, subject: Subject): Record<string, Operation> {
    const operations: Record<string, Operation> = {};
    for (const verb of verbs) {
      const found = forms[verb];
      if (found !== undefined) operations[found.method] = this.#operation(verb, found, subject);
    }
    return operations;
  }

  #operation(verb: string, { action, id, doing, query, codes }: VerbForm, { gvk, name }: Subject): Operation {
    const infix = verb === 'deletecollection' ? 'Collection' : '';
    const body = this.#body(verb, gvk);
    return {
      ...this.#common(`${id}${this.#family.prefix}${infix}${name}`, this.#query(query)),
      description: `${doing} ${gvk.kind} objects`,
      action: { name: action, gvk },
      ...(body === undefined ? {} : { body }),
      produces: this.#isCustom ? CUSTOM_TYPES : verb === 'list' ? WATCH_TYPES : BUILTIN_TYPES,
      codes,
      answer: this.#answer(verb, gvk),
    };
  }

  #common(id: string, query: Operation['query']): Pick<Operation, 'id' | 'tag' | 'query'> {
    return { id, tag: this.#family.tag, query };
  }

  /** The parameters of these names that the documents tell of, and `pretty`, which everything takes. */
  #query(names: readonly string[]): Operation['query'] {
    return ['pretty', ...names].filter((name) => !this.#options.omit?.includes(name)).map(queryParameter);
  }

  #body(verb: string, gvk: GroupVersionKind): Operation['body'] {
    switch (verb) {
      case 'create':
      case 'update': {
        const schema = this.#options.schemaOf(gvk);
        return schema === undefined ? undefined : { schema, consumes: ANYTHING, required: true };
      }
      case 'patch':
        return { schema: PATCH, consumes: patchTypes(this.#isCustom), required: true };
      case 'delete':
      case 'deletecollection':
        return { schema: DELETE_OPTIONS, consumes: ANYTHING, required: false };
      default:
        return undefined;
    }
  }

  #answer(verb: string, gvk: GroupVersionKind): string | undefined {
    const { schemaOf } = this.#options;
    if (verb === 'deletecollection') return STATUS;
    if (verb === 'delete' && !answersLastState(this.#definition)) return STATUS;
    if (verb !== 'list') return schemaOf(gvk);
    const { group, version, kind, listKind = `${kind}List` } = this.#definition;
    return schemaOf({ group, version, kind: listKind });
  }

  /** Text that is read and not an object: a log. */
  #stream(subresource: SubresourceDefinition, name: string): Record<string, Operation> {
    const { group, version, kind } = this.#definition;
    const options = { group, version, kind: `${kind}${capitalize(subresource.name)}Options` };
    const parameters = optionParameters(this.#options.types.typeOf(options));
    return {
      get: {
        ...this.#common(`read${this.#family.prefix}${name}`, [...this.#query([]), ...parameters]),
        description: `Read the ${subresource.name} of a ${kind}`,
        action: { name: 'get', gvk: subresource.kind },
        produces: ['text/plain', ...BUILTIN_TYPES],
        codes: [200],
        answer: undefined,
      },
    };
  }

  /** Ways into a container or a server behind this one: all goes through as it is. */
  #connections(subresource: SubresourceDefinition, name: string): Record<string, Operation> {
    const query = optionParameters(this.#options.types.typeOf(subresource.kind));
    const isProxy = subresource.verbs.includes('update');
    const methods = subresource.verbs
      .flatMap((verb) => CONNECT_METHODS[verb] ?? [])
      .filter((method) => isProxy || (method !== 'head' && method !== 'options'));
    const operation = (method: string): Operation => ({
      ...this.#common(`connect${this.#family.prefix}${capitalize(method)}${name}`, query),
      description: `Connect with ${method.toUpperCase()} to ${subresource.name} of a ${this.#definition.kind}`,
      action: { name: 'connect', gvk: subresource.kind },
      produces: ANYTHING,
      codes: [200],
      answer: undefined,
    });
    return Object.fromEntries(methods.map((method) => [method, operation(method)]));
  }
}
