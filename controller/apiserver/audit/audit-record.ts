import { decodeProtobuf, isKubernetesProtobuf } from '#api/codec/decode-protobuf.ts';
import { decodeYaml } from '#api/codec/decode-yaml.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { HeaderMap } from '../server/api-request.ts';
import type { AuditDecision } from './audit-policy.ts';

/** What an event tells of its objects beyond the address. */
export interface AuditedObject {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/**
 * What is learnt of an audited request on its way. Handlers hand in the object that they decoded; a body that no handler decodes as an
 * object (a patch, delete options) is taken as it came. Values are kept as text at once, because handlers go on changing them.
 */
export class AuditRecord {
  readonly decision: AuditDecision;
  object: AuditedObject | undefined;
  /** JSON. */
  requestText: string | undefined;
  /** JSON. */
  responseText: string | undefined;
  #rawBody: { readonly bytes: Uint8Array; readonly contentType: string } | undefined;

  constructor(decision: AuditDecision) {
    this.decision = decision;
  }

  get wantsRequest(): boolean {
    return this.decision.level === 'Request' || this.decision.level === 'RequestResponse';
  }

  get wantsResponse(): boolean {
    return this.decision.level === 'RequestResponse';
  }

  noteRequestObject(value: KubeObject): void {
    const { name = '', namespace = '', uid = '', resourceVersion = '' } = value.metadata ?? {};
    this.object = { name, namespace, uid, resourceVersion };
    if (this.wantsRequest) this.requestText = this.#render(value);
  }

  /** Kept until it is known whether a handler decodes it. */
  noteRequestBody(bytes: Uint8Array, contentType: string): void {
    if (this.wantsRequest && bytes.byteLength > 0) this.#rawBody = { bytes, contentType };
  }

  noteResponse(headers: HeaderMap, body: Uint8Array): void {
    if (!this.wantsResponse) return;
    const value = decodeBody(body, String(headers['content-type'] ?? ''));
    if (value !== undefined) this.responseText = this.#render(value);
  }

  /** The request as JSON text, or undefined where there was none. */
  renderRequest(): string | undefined {
    if (this.requestText === undefined && this.#rawBody !== undefined) {
      const value = decodeBody(this.#rawBody.bytes, this.#rawBody.contentType);
      if (value !== undefined) this.requestText = this.#render(value);
    }
    return this.requestText;
  }

  #render(value: unknown): string {
    return JSON.stringify(this.decision.omitManagedFields ? withoutManagedFields(value) : value);
  }
}

/** Undefined for what is no object: logs, metrics, torn bodies. */
function decodeBody(bytes: Uint8Array, contentType: string): unknown {
  const type = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  try {
    if (isKubernetesProtobuf(bytes)) return decodeProtobuf(bytes, typeOf);
    if (type.endsWith('yaml')) return decodeYaml(bytes).value;
    if (type === '' || type.endsWith('json')) return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // The handler has told the client what is wrong with it; an event without its object says who sent it.
  }
  return undefined;
}

function typeOf(gvk: Parameters<Parameters<typeof decodeProtobuf>[1]>[0]) {
  const type = builtinTypes().typeOf(gvk);
  if (type === undefined) throw new Error(`no kind ${gvk.kind}`);
  return type;
}

/** Of an object, and of the items of a list. */
function withoutManagedFields(value: unknown): unknown {
  if (!isJsonObject(value)) return value;
  const { metadata, items } = value;
  const result = { ...value };
  if (isJsonObject(metadata) && metadata.managedFields !== undefined) {
    const { managedFields: _omitted, ...rest } = metadata;
    result.metadata = rest;
  }
  if (Array.isArray(items)) result.items = items.map(withoutManagedFields) as typeof items;
  return result;
}
