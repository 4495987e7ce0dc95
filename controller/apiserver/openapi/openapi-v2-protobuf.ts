import { ProtobufWriter } from '#api/codec/protobuf-writer.ts';

/** What Kubernetes calls the protobuf form of a document of OpenAPI v2 in its answers. */
export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** Writes one JSON value as one field. The writer goes backwards, hence all lists and objects below are walked from their end. */
type Write = (writer: ProtobufWriter, field: number, value: unknown) => void;

/** How the keys of a JSON object become the fields of a message. */
interface Message {
  readonly fields: Readonly<Record<string, readonly [field: number, write: Write]>>;
  /** Number of `vendor_extension`, which takes the keys that begin with `x-`. */
  readonly extensions?: number;
}

const text: Write = (writer, field, value) => writer.text(field, String(value));
const bool: Write = (writer, field, value) => writer.integer(field, value === true ? 1 : 0);

const integer: Write = (writer, field, value) => writer.integer(field, Number(value));
const double: Write = (writer, field, value) => writer.double(field, Number(value));

const each =
  (write: Write): Write =>
  (writer, field, value) => {
    for (const one of (value as readonly unknown[]).toReversed()) write(writer, field, one);
  };

/** A message that has the value as its only field. */
const within =
  (inner: number, write: Write): Write =>
  (writer, field, value) => {
    const mark = writer.mark;
    write(writer, inner, value);
    writer.closeMessage(field, mark);
  };

const namedEntry = (write: Write, writer: ProtobufWriter, field: number, [name, value]: [string, unknown]) => {
  const mark = writer.mark;
  write(writer, 2, value);
  writer.text(1, name);
  writer.closeMessage(field, mark);
};

/** A map as repeated pairs of a name (1) and a value (2). */
const named =
  (write: Write): Write =>
  (writer, field, value) => {
    for (const entry of Object.entries(value as object).toReversed()) namedEntry(write, writer, field, entry);
  };

/** Takes a function, because schemas contain schemas. */
const message =
  (of: () => Message): Write =>
  (writer, field, value) => {
    const mark = writer.mark;
    writeFields(writer, of(), value as object);
    writer.closeMessage(field, mark);
  };

/** Any{value = 1, yaml = 2}: readers look at the YAML, and JSON is YAML. */
const any: Write = within(2, (writer, field, value) => writer.text(field, JSON.stringify(value)));

/** Throws for a key that the message does not know: the JSON form says something that would be lost here. */
function writeFields(writer: ProtobufWriter, { fields, extensions }: Message, value: object): void {
  for (const entry of Object.entries(value).toReversed()) {
    const [key, one] = entry;
    const known = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (known !== undefined) known[1](writer, known[0], one);
    else if (extensions !== undefined && key.startsWith('x-')) namedEntry(any, writer, extensions, entry);
    else throw new Error(`OpenAPI v2 in protobuf has no field for ${key}`);
  }
}

const schema = message(() => SCHEMA);

const additionalProperties: Write = (writer, field, value) =>
  (typeof value === 'boolean' ? within(2, bool) : within(1, schema))(writer, field, value);

// Numbers are those of openapiv2/OpenAPIv2.proto of https://github.com/google/gnostic; keys are those that our documents have.
const SCHEMA: Message = {
  fields: {
    $ref: [1, text],
    format: [2, text],
    title: [3, text],
    description: [4, text],
    default: [5, any],
    // Limits are those of custom kinds; the type table has none.
    multipleOf: [6, double],
    maximum: [7, double],
    exclusiveMaximum: [8, bool],
    minimum: [9, double],
    exclusiveMinimum: [10, bool],
    maxLength: [11, integer],
    minLength: [12, integer],
    pattern: [13, text],
    maxItems: [14, integer],
    minItems: [15, integer],
    maxProperties: [17, integer],
    minProperties: [18, integer],
    required: [19, each(text)],
    enum: [20, each(any)],
    additionalProperties: [21, additionalProperties],
    type: [22, within(1, text)],
    items: [23, within(1, schema)],
    properties: [25, within(1, named(schema))],
  },
  extensions: 31,
};

const QUERY_PARAMETER: Message = {
  fields: { in: [2, text], description: [3, text], name: [4, text], type: [6, text], uniqueItems: [20, bool] },
  extensions: 23,
};

const queryParameter = message(() => QUERY_PARAMETER);

/** ParametersItem{parameter = 1}, Parameter{non_body_parameter = 2}, NonBodyParameter{query_parameter_sub_schema = 3}. */
const parameter: Write = within(1, within(2, within(3, queryParameter)));

const RESPONSE: Message = { fields: { description: [1, text] }, extensions: 5 };

const response = message(() => RESPONSE);

const OPERATION: Message = {
  fields: {
    parameters: [8, each(parameter)],
    // Responses{response_code = 1} of pairs of a code and ResponseValue{response = 1}.
    responses: [9, within(1, named(within(1, response)))],
  },
  extensions: 13,
};

const operation = message(() => OPERATION);

const PATH_ITEM: Message = {
  fields: {
    get: [2, operation],
    put: [3, operation],
    post: [4, operation],
    delete: [5, operation],
    patch: [8, operation],
  },
  extensions: 10,
};

const INFO: Message = { fields: { title: [1, text], version: [2, text] } };

const DOCUMENT: Message = {
  fields: {
    swagger: [1, text],
    info: [2, message(() => INFO)],
    paths: [8, within(2, named(message(() => PATH_ITEM)))],
    definitions: [9, within(1, named(schema))],
  },
};

/** `openapi.v2.Document` for a document of OpenAPI v2 in its JSON form. */
export function encodeOpenApiV2(document: object): Uint8Array {
  const writer = new ProtobufWriter();
  writeFields(writer, DOCUMENT, document);
  return writer.finish();
}
