import { badRequest } from '#api/object/api-error.ts';
import { type FieldError, forbiddenField, invalid, invalidObject, notSupported } from '#api/object/field-error.ts';
import { isJsonObject, type JsonObject } from '#api/object/json.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { DeletionWish, PropagationPolicy } from '../registry/deletion-plan.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import { CONTENT_TYPES } from './negotiation.ts';
import { MAX_BODY_BYTES, mediaTypeOf, unsupportedMediaType } from './read-body.ts';

export interface DeleteOptions {
  readonly wish: DeletionWish;
  /** The client wants to hear that dependents are still to go: 202 in place of 200. */
  readonly isCascading: boolean;
  readonly dryRun: boolean;
}

const POLICIES: readonly string[] = ['Foreground', 'Background', 'Orphan'];
const KIND = { group: 'meta.k8s.io', version: 'v1', kind: 'DeleteOptions' };

/** Options of a delete from its body, or from the query where there is none. Rejects with 400, 415 and 422. */
export async function readDeleteOptions(services: RegistryServices, context: RequestContext): Promise<DeleteOptions> {
  const body = await context.request.readBody(MAX_BODY_BYTES);
  const fields = body.byteLength === 0 ? fromQuery(context.info.query) : decodeBody(services, context, body);
  const errors = optionErrors(fields);
  if (errors.length > 0) throw invalidObject(KIND, '', errors);
  const orphan = fields.orphanDependents;
  const policy =
    fields.propagationPolicy ?? (orphan === undefined ? undefined : orphan === true ? 'Orphan' : 'Background');
  const preconditions = fields.preconditions as DeletionWish['preconditions'];
  return {
    wish: {
      gracePeriodSeconds: graceOf(fields.gracePeriodSeconds as number | undefined),
      propagationPolicy: policy as PropagationPolicy | undefined,
      preconditions,
    },
    isCascading: policy === 'Foreground' || orphan === false,
    dryRun: isDryRun(fields.dryRun) || context.info.query.getAll('dryRun').includes('All'),
  };
}

const EXPECTED = { group: '', version: 'v1', kind: 'DeleteOptions' };

function decodeBody(services: RegistryServices, context: RequestContext, body: Uint8Array): JsonObject {
  const type = mediaTypeOf(context) || CONTENT_TYPES.json;
  const supported = Object.values(CONTENT_TYPES);
  if (!supported.includes(type)) throw unsupportedMediaType(type, supported);
  const { object } = services.format.decode(body, type, EXPECTED);
  if (object.kind !== EXPECTED.kind) throw badRequest(`decoded object cannot be converted to ${EXPECTED.kind}`);
  return object;
}

function fromQuery(query: URLSearchParams): JsonObject {
  const fields: JsonObject = {};
  const grace = query.get('gracePeriodSeconds');
  if (grace !== null) fields.gracePeriodSeconds = integerOf(grace);
  const policy = query.get('propagationPolicy');
  if (policy !== null) fields.propagationPolicy = policy;
  const orphan = query.get('orphanDependents');
  if (orphan !== null) fields.orphanDependents = orphan === 'true' || orphan === '1';
  const dryRun = query.getAll('dryRun').filter((value) => value !== '');
  if (dryRun.length > 0) fields.dryRun = dryRun;
  return fields;
}

function integerOf(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** A negative wish means one second. */
const graceOf = (seconds: number | undefined) => (seconds !== undefined && seconds < 0 ? 1 : seconds);

const isDryRun = (value: unknown) => Array.isArray(value) && value.includes('All');

function optionErrors(fields: JsonObject): FieldError[] {
  const errors: FieldError[] = [];
  const { gracePeriodSeconds: grace, propagationPolicy: policy, dryRun, preconditions } = fields;
  if (grace !== undefined && !Number.isSafeInteger(grace)) {
    errors.push(invalid('gracePeriodSeconds', grace, 'must be a whole number of seconds'));
  }
  if (policy !== undefined && fields.orphanDependents !== undefined) {
    errors.push(invalid('propagationPolicy', policy, 'orphanDependents and deletionPropagation cannot be both set'));
  }
  if (policy !== undefined && !POLICIES.includes(String(policy))) {
    errors.push(notSupported('propagationPolicy', policy, [...POLICIES, 'nil']));
  }
  if (Array.isArray(dryRun)) {
    for (const value of dryRun) if (value !== 'All') errors.push(notSupported('dryRun', value, ['All']));
  } else if (dryRun !== undefined) errors.push(invalid('dryRun', dryRun, 'must be a list'));
  if (preconditions !== undefined && !isJsonObject(preconditions)) {
    errors.push(forbiddenField('preconditions', 'must be an object'));
  }
  return errors;
}
