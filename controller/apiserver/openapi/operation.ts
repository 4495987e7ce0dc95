import type { GroupVersionKind } from '#api/object/group-version.ts';
import { type Parameter, type ParameterWriter, pathParameters } from './parameters.ts';
import { type Flavor, refTo, type Schema } from './type-schema.ts';

/** What both versions of OpenAPI tell of an operation. */
export interface Operation {
  readonly id: string;
  readonly tag: string;
  readonly description: string;
  /** `x-kubernetes-action` and what it acts on; absent where the path belongs to no kind. */
  readonly action?: { readonly name: string; readonly gvk: GroupVersionKind };
  readonly query: readonly Parameter[];
  readonly body?: RequestBody;
  /** Media types of answers. */
  readonly produces: readonly string[];
  /** Status codes of success. */
  readonly codes: readonly number[];
  /** Name of the answer's schema; undefined for plain text and streams. */
  readonly answer: string | undefined;
}

export interface RequestBody {
  /** Name of its schema. */
  readonly schema: string;
  readonly consumes: readonly string[];
  readonly required: boolean;
}

export const ANYTHING: readonly string[] = ['*/*'];

const REASONS: Readonly<Record<number, string>> = { 200: 'OK', 201: 'Created', 202: 'Accepted' };
const UNAUTHORIZED = { description: 'Unauthorized' };
const SCHEMES = ['https'];

/** The operations of one path by HTTP method. What all of them take in the query stands beside them, once. */
export function pathItem(
  path: string,
  operations: Readonly<Record<string, Operation>>,
  { flavor, parameters }: { flavor: Flavor; parameters: ParameterWriter },
): object {
  const all = Object.values(operations);
  const isCommon = ({ name }: Parameter) => all.every(({ query }) => query.some((one) => one.name === name));
  const common = [...pathParameters(path), ...(all[0]?.query.filter(isCommon) ?? [])];
  const write = flavor === 3 ? operationV3 : operationV2;
  const item: Record<string, unknown> = {};
  for (const [method, operation] of Object.entries(operations)) {
    const own = operation.query.filter((parameter) => !isCommon(parameter)).map((one) => parameters.write(one));
    item[method] = write(operation, own);
  }
  if (common.length > 0) item.parameters = common.map((parameter) => parameters.write(parameter));
  return item;
}

function operationV2(operation: Operation, query: readonly Schema[]): Schema {
  const { body, produces, codes } = operation;
  const bodyParameter = body && {
    in: 'body',
    name: 'body',
    ...(body.required ? { required: true } : {}),
    schema: { $ref: refTo(body.schema, 2) },
  };
  const parameters = bodyParameter === undefined ? query : [bodyParameter, ...query];
  const schema = answerSchema(operation, 2);
  return {
    consumes: body?.consumes ?? ANYTHING,
    description: operation.description,
    operationId: operation.id,
    ...(parameters.length === 0 ? {} : { parameters }),
    produces,
    responses: responses(codes, (description) => ({ description, schema })),
    schemes: SCHEMES,
    ...labels(operation),
  };
}

function operationV3(operation: Operation, query: readonly Schema[]): Schema {
  const { body, produces, codes } = operation;
  const content = contentOf(produces, answerSchema(operation, 3));
  return {
    description: operation.description,
    operationId: operation.id,
    ...(query.length === 0 ? {} : { parameters: query }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            content: contentOf(body.consumes, { $ref: refTo(body.schema, 3) }),
            ...(body.required ? { required: true } : {}),
          },
        }),
    responses: responses(codes, (description) => ({ content, description })),
    ...labels(operation),
  };
}

const answerSchema = ({ answer }: Operation, flavor: Flavor): Schema =>
  answer === undefined ? { type: 'string' } : { $ref: refTo(answer, flavor) };

const contentOf = (types: readonly string[], schema: Schema): Schema =>
  Object.fromEntries(types.map((type) => [type, { schema }]));

function responses(codes: readonly number[], write: (description: string) => Schema): Schema {
  return {
    ...Object.fromEntries(codes.map((code) => [String(code), write(REASONS[code] ?? 'OK')])),
    401: UNAUTHORIZED,
  };
}

function labels({ tag, action }: Operation): Schema {
  if (action === undefined) return { tags: [tag] };
  const { group, kind, version } = action.gvk;
  return {
    tags: [tag],
    'x-kubernetes-action': action.name,
    'x-kubernetes-group-version-kind': { group, kind, version },
  };
}
