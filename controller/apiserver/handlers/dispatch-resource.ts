import { ApiError, badRequest } from '#api/object/api-error.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { createWhileTerminating } from '../registry/create-object.ts';
import { findSubresource } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { ApiServices, ResourceHandler, ResourceTarget } from './api-services.ts';
import { handleComputedGet, handleComputedList } from './computed.ts';
import { handleCreate } from './create.ts';
import { handleDelete } from './delete.ts';
import { handleDeleteCollection } from './delete-collection.ts';
import { handleGet } from './get.ts';
import { handleList } from './list.ts';
import { handlePatch } from './patch.ts';
import { handleFace, handleOwnSubresource, methodNotAllowed } from './subresource.ts';
import { handleUpdate } from './update.ts';
import { handleWatch } from './watch.ts';

const RESOURCE_HANDLERS: Readonly<Record<string, ResourceHandler>> = {
  get: handleGet,
  list: handleList,
  watch: handleWatch,
  create: handleCreate,
  update: (services, target) => handleUpdate(services, target),
  patch: (services, target) => handlePatch(services, target),
  delete: handleDelete,
  deletecollection: handleDeleteCollection,
};

const STATUS_HANDLERS: Readonly<Record<string, ResourceHandler>> = {
  get: handleGet,
  update: (services, target) => handleUpdate(services, target, 'status'),
  patch: (services, target) => handlePatch(services, target, 'status'),
};

/** Kinds that nothing stores have no more. */
const COMPUTED_HANDLERS: Readonly<Record<string, ResourceHandler>> = {
  get: handleComputedGet,
  list: handleComputedList,
};

/** Verbs that name one object, and those that name a collection. */
const NAMED_VERBS: ReadonlySet<string> = new Set(['get', 'update', 'patch', 'delete']);

/** The end of the chain for requests that address a resource. Throws or rejects with ApiError. */
export function dispatchResource(services: ApiServices, context: RequestContext): Promise<void> {
  const { info } = context;
  const definition = services.catalog.find(info.group, info.version, info.resource);
  if (definition === undefined) throw pathNotFound();
  if (definition.deprecationWarning !== undefined) context.warnings.push(definition.deprecationWarning);
  const target = targetOf(context, definition);
  checkAddress(target);
  if (info.subresource === '') return dispatchMain(services, target);
  const subresource = findSubresource(definition, info.subresource);
  if (subresource !== undefined) {
    if (!isServed(subresource.verbs, info.verb, context.request.method)) throw methodNotAllowed();
    const own = { ...target, subresource };
    return subresource.handle === undefined ? handleFace(services, own) : handleOwnSubresource(services, own);
  }
  if (info.subresource !== 'status' || !definition.hasStatus) throw pathNotFound();
  const handler = STATUS_HANDLERS[info.verb];
  if (handler === undefined) throw methodNotAllowed();
  return handler(services, target);
}

function dispatchMain(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { info } = target.context;
  const handlers = target.definition.computedObjects === undefined ? RESOURCE_HANDLERS : COMPUTED_HANDLERS;
  const handler = handlers[info.verb];
  if (handler === undefined || !target.definition.verbs.includes(info.verb)) {
    // Custom kinds have every verb, until their definition goes.
    const isGoing = info.verb === 'create' && target.definition.format !== undefined;
    throw isGoing ? createWhileTerminating(target.definition) : methodNotAllowed();
  }
  // The deprecated paths of watches may name one object.
  if (info.verb !== 'watch' && NAMED_VERBS.has(info.verb) === (target.name === '')) throw methodNotAllowed();
  return handler(services, target);
}

const ACROSS_NAMESPACES: ReadonlySet<string> = new Set(['list', 'watch']);

/**
 * Names become parts of storage keys, and authorization has judged them as they stand in the path: an escaped slash must not lead to
 * another object than the one that was judged. Without a namespace, namespaced kinds are only listed and watched.
 */
function checkAddress({ context, definition, namespace, name }: ResourceTarget): void {
  for (const part of [namespace, name]) {
    if (part.includes('/')) throw badRequest(`${JSON.stringify(part)} is not a valid name: may not contain '/'`);
  }
  if (definition.namespaced && namespace === '' && !ACROSS_NAMESPACES.has(context.info.verb)) {
    throw name === '' ? methodNotAllowed() : pathNotFound();
  }
}

/** Proxies and terminals are reached with any method; discovery lists the verbs that these methods mean. */
function isServed(verbs: readonly string[], verb: string, method: string): boolean {
  return verbs.includes(verb) || (verb === '' && verbs.includes('get') && (method === 'OPTIONS' || method === 'HEAD'));
}

function targetOf(context: RequestContext, definition: ResourceDefinition): ResourceTarget {
  const { info } = context;
  const isCollection = info.verb === 'list' || info.verb === 'deletecollection' || info.verb === 'create';
  const isWatchOfCollection = info.verb === 'watch' && !info.path.includes('/watch/');
  return {
    context,
    definition,
    namespace: definition.namespaced ? info.namespace : '',
    // A list that a field selector narrows to one name is authorized as that name, but stays a list.
    name: info.subresource === '' && (isWatchOfCollection || (isCollection && isSelected(context))) ? '' : info.name,
  };
}

const isSelected = ({ info }: RequestContext) => info.verb !== 'create';

export function pathNotFound(): ApiError {
  return new ApiError(404, 'NotFound', 'the server could not find the requested resource', {});
}
