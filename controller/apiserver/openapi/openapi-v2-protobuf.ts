import { ProtobufWriter } from '#api/codec/protobuf-writer.ts';

/** What Kubernetes calls the protobuf form of a document of OpenAPI v2 in its answers. */
export const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

class DocumentWriter extends ProtobufWriter {
  readonly onUnknown: (key: string) => void;

  constructor(onUnknown: (key: string) => void) {
    super();
    this.onUnknown = onUnknown;
  }
}

/** Writes one JSON value as one field. The writer goes backwards, hence all lists and objects below are walked from their end. */
type Write = (writer: DocumentWriter, field: number, value: unknown) => void;

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

const namedEntry = (write: Write, writer: DocumentWriter, field: number, [name, value]: [string, unknown]) => {
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

/** Tells of keys that the message does not know: the JSON form says something that is lost here. */
function writeFields(writer: DocumentWriter, { fields, extensions }: Message, value: object): void {
  for (const entry of Object.entries(value).toReversed()) {
    const [key, one] = entry;
    const known = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (known !== undefined) known[1](writer, known[0], one);
    else if (extensions !== undefined && key.startsWith('x-')) namedEntry(any, writer, extensions, entry);
    else writer.onUnknown(key);
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
  fields: {
    required: [1, bool],
    in: [2, text],
    description: [3, text],
    name: [4, text],
    allowEmptyValue: [5, bool],
    type: [6, text],
    format: [7, text],
    collectionFormat: [9, text],
    default: [10, any],
    uniqueItems: [20, bool],
    enum: [21, each(any)],
  },
  extensions: 23,
};

const PATH_PARAMETER: Message = {
  fields: {
    required: [1, bool],
    in: [2, text],
    description: [3, text],
    name: [4, text],
    type: [5, text],
    format: [6, text],
    collectionFormat: [8, text],
    default: [9, any],
    uniqueItems: [19, bool],
    enum: [20, each(any)],
  },
  extensions: 22,
};

const BODY_PARAMETER: Message = {
  fields: { description: [1, text], name: [2, text], in: [3, text], required: [4, bool], schema: [5, schema] },
  extensions: 6,
};

const nonBody = (place: number, of: () => Message): Write => within(2, within(place, message(of)));

/** Parameter{body_parameter = 1, non_body_parameter = 2}; NonBodyParameter tells in which place of the request it stands. */
const PARAMETERS_BY_PLACE: Readonly<Record<string, Write>> = {
  body: within(
    1,
    message(() => BODY_PARAMETER),
  ),
  query: nonBody(3, () => QUERY_PARAMETER),
  path: nonBody(4, () => PATH_PARAMETER),
};

const parameter: Write = (writer, field, value) => {
  const { in: place } = value as { in: string };
  const write = Object.hasOwn(PARAMETERS_BY_PLACE, place) ? PARAMETERS_BY_PLACE[place] : undefined;
  if (write === undefined) throw new Error(`OpenAPI v2 in protobuf has no parameter in ${place}`);
  write(writer, field, value);
};

const reference = message(() => ({ fields: { $ref: [1, text], description: [2, text] } }));

/** ParametersItem{parameter = 1, json_reference = 2}. */
const parameterItem: Write = (writer, field, value) =>
  (Object.hasOwn(value as object, '$ref') ? within(2, reference) : within(1, parameter))(writer, field, value);

const RESPONSE: Message = {
  // SchemaItem{schema = 1}.
  fields: { description: [1, text], schema: [2, within(1, schema)] },
  extensions: 5,
};

const response = message(() => RESPONSE);

/** SecurityRequirement of pairs of a name and StringArray{value = 1}. */
const securityRequirement = within(1, named(within(1, each(text))));

const OPERATION: Message = {
  fields: {
    tags: [1, each(text)],
    summary: [2, text],
    description: [3, text],
    operationId: [5, text],
    produces: [6, each(text)],
    consumes: [7, each(text)],
    parameters: [8, each(parameterItem)],
    // Responses{response_code = 1} of pairs of a code and ResponseValue{response = 1}.
    responses: [9, within(1, named(within(1, response)))],
    schemes: [10, each(text)],
    deprecated: [11, bool],
    security: [12, each(securityRequirement)],
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
    options: [6, operation],
    head: [7, operation],
    patch: [8, operation],
    parameters: [9, each(parameterItem)],
  },
  extensions: 10,
};

const INFO: Message = { fields: { title: [1, text], version: [2, text] } };

const API_KEY: Message = {
  fields: { type: [1, text], name: [2, text], in: [3, text], description: [4, text] },
  extensions: 5,
};

const DOCUMENT: Message = {
  fields: {
    swagger: [1, text],
    info: [2, message(() => INFO)],
    paths: [8, within(2, named(message(() => PATH_ITEM)))],
    definitions: [9, within(1, named(schema))],
    parameters: [10, within(1, named(parameter))],
    security: [12, each(securityRequirement)],
    // SecurityDefinitionsItem{api_key_security = 2}: no other kind of credential is told of.
    securityDefinitions: [
      13,
      within(
        1,
        named(
          within(
            2,
            message(() => API_KEY),
          ),
        ),
      ),
    ],
  },
};

/**
 * `openapi.v2.Document` for a document of OpenAPI v2 in its JSON form. Throws for a key that has no field; with `onUnknown` such keys are
 * left out. Throws TypeError for what is no document of OpenAPI v2.
 */
export function encodeOpenApiV2(document: object, onUnknown: (key: string) => void = refuseUnknown): Uint8Array {
  const writer = new DocumentWriter(onUnknown);
  writeFields(writer, DOCUMENT, document);
  return writer.finish();
}

function refuseUnknown(key: string): void {
  throw new Error(`OpenAPI v2 in protobuf has no field for ${key}`);
}
