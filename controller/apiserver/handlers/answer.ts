import { stringify } from 'yaml';
import { apiVersionOf, type GroupVersionKind } from '#api/object/group-version.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { protobufOf } from '../chain/protobuf-answer.ts';
import type { RequestContext } from '../chain/request-context.ts';
import { isTrue } from '../chain/request-info.ts';
import { encodeJson } from '../chain/status-answer.ts';
import { isSentAsStored, readStored } from '../registry/encode-object.ts';
import type { ObjectView } from '../registry/registry-services.ts';
import type { ResourceDefinition, Tabular } from '../registry/resource-definition.ts';
import { buildTable, partialMetadata, tableOptions } from '../table/table.ts';
import type { ApiServices } from './api-services.ts';
import { CONTENT_TYPES, negotiate, type Representation } from './negotiation.ts';

const encoder = new TextEncoder();

/** Sends one object in the form that the client accepts; the stored bytes as they are wherever that is JSON of the stored kind. */
export function answerObject(
  services: ApiServices,
  context: RequestContext,
  definition: ResourceDefinition,
  answer: { readonly status: number; readonly view: ObjectView },
): void {
  const representation = negotiate(context.request.header('accept'), definition.format !== undefined);
  const { as, media } = representation;
  if (as === 'Object' && media === 'json' && isSentAsStored(definition, answer.view) && !isPretty(context)) {
    context.response.send(answer.status, { 'content-type': CONTENT_TYPES.json }, answer.view.bytes);
    return;
  }
  const object = readStored(definition, answer.view);
  if (
    as === 'Object' &&
    media === 'protobuf' &&
    sendProtobuf(services, context, { ...answer, object, gvk: definition })
  )
    return;
  answerValue(
    context,
    answer.status,
    transform(services, context, definition, { object, representation }),
    representation,
  );
}

interface ProtobufAnswer {
  readonly status: number;
  readonly object: KubeObject;
  readonly gvk: GroupVersionKind;
}

/** False for kinds without a protobuf form: those are answered as JSON, which every client reads. */
export function sendProtobuf(services: ApiServices, context: RequestContext, answer: ProtobufAnswer): boolean {
  const body = services.format.toProtobuf(answer.object, answer.gvk);
  if (body === undefined) return false;
  context.response.send(answer.status, { 'content-type': CONTENT_TYPES.protobuf }, body);
  return true;
}

/** One object as it is, as a Table, or as its metadata alone. */
export function transform(
  services: ApiServices,
  context: RequestContext,
  definition: Tabular,
  { object, representation }: { readonly object: KubeObject; readonly representation: Representation },
): unknown {
  switch (representation.as) {
    case 'Table':
      return buildTable(definition, [object], {
        ...tableOptions(context.info.query),
        nowMs: services.clock.now(),
        version: representation.version,
        list: { resourceVersion: object.metadata.resourceVersion ?? '' },
      });
    case 'PartialObjectMetadata':
      return partialMetadata(object, representation.version);
    default:
      return object;
  }
}

/** Sends an object that no store holds: answers of subresources, virtual kinds, lists in other forms. */
export function answerValue(
  context: RequestContext,
  status: number,
  value: unknown,
  representation: Pick<Representation, 'media'> = negotiate(context.request.header('accept')),
): void {
  const { media } = representation;
  const protobuf = media === 'protobuf' ? protobufOf(value) : undefined;
  if (protobuf !== undefined) {
    context.response.send(status, { 'content-type': CONTENT_TYPES.protobuf }, protobuf);
    return;
  }
  const body =
    media === 'yaml'
      ? encoder.encode(stringify(value))
      : isPretty(context)
        ? encoder.encode(`${JSON.stringify(value, null, 2)}\n`)
        : encodeJson(value);
  const type = media === 'yaml' ? CONTENT_TYPES.yaml : CONTENT_TYPES.json;
  context.response.send(status, { 'content-type': type }, body);
}

export function isPretty(context: RequestContext): boolean {
  return context.info.query.size > 0 && isTrue(context.info.query.get('pretty'));
}

export function listKind(definition: ResourceDefinition): { apiVersion: string; kind: string } {
  return { apiVersion: apiVersionOf(definition), kind: definition.listKind ?? `${definition.kind}List` };
}
