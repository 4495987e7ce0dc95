import { encodeCanonical } from '#api/codec/canonical.ts';
import { notFound } from '#api/object/api-error.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { fieldsOf } from '../registry/encode-object.ts';
import { resourceName } from '../registry/resource-catalog.ts';
import { answerObject, answerValue, listKind, sendProtobuf } from './answer.ts';
import type { ApiServices, ResourceTarget } from './api-services.ts';
import { transformList } from './list.ts';
import { negotiate } from './negotiation.ts';
import { parseSelector } from './object-selector.ts';
import { parseListOptions } from './request-options.ts';

async function computeObjects(services: ApiServices, target: ResourceTarget): Promise<readonly KubeObject[]> {
  const { definition, context, name } = target;
  const { namespace } = context.info;
  const request = { namespace, name };
  const all = (await definition.computedObjects?.(services.store.snapshot(), services.clock.now(), request)) ?? [];
  return namespace === '' ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
}

/** GET of one object that nothing stores. */
export async function handleComputedGet(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition, name } = target;
  const object = (await computeObjects(services, target)).find(({ metadata }) => metadata.name === name);
  if (object === undefined) throw notFound(resourceName(definition), name);
  const view = { bytes: encodeCanonical(object), object: () => object };
  answerObject(services, context, definition, { status: 200, view });
}

/** GET of all of them: few, so neither pages nor versions. */
export async function handleComputedList(services: ApiServices, target: ResourceTarget): Promise<void> {
  const { context, definition } = target;
  const { labels, fields } = parseSelector(definition, parseListOptions(context.info.query, false));
  const items = (await computeObjects(services, target)).filter(
    (object) => labels.matches(object.metadata.labels) && fields.matches(fieldsOf(definition, object)),
  );
  const representation = negotiate(context.request.header('accept'));
  if (representation.as === 'Object' && representation.media === 'protobuf') {
    const kind = listKind(definition);
    const object: KubeObject = { ...kind, metadata: {}, items };
    if (sendProtobuf(services, context, { status: 200, object, gvk: { ...definition, kind: kind.kind } })) return;
  }
  const list = transformList(services, target, { objects: items, meta: { resourceVersion: '' } });
  answerValue(context, 200, list, representation);
}
