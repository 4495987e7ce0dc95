import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { encodeOpenApiV2 } from './openapi-v2-protobuf.ts';

/** The part of gnostic's OpenAPIv2.proto that the documents use, so that the numbers stand here a second time. */
const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message Document {
    string swagger = 1; Info info = 2; Paths paths = 8; Definitions definitions = 9; ParameterDefinitions parameters = 10;
    repeated SecurityRequirement security = 12; SecurityDefinitions security_definitions = 13;
  }
  message ParameterDefinitions { repeated NamedParameter additional_properties = 1; }
  message NamedParameter { string name = 1; Parameter value = 2; }
  message SecurityRequirement { repeated NamedStringArray additional_properties = 1; }
  message NamedStringArray { string name = 1; StringArray value = 2; }
  message StringArray { repeated string value = 1; }
  message SecurityDefinitions { repeated NamedSecurityDefinitionsItem additional_properties = 1; }
  message NamedSecurityDefinitionsItem { string name = 1; SecurityDefinitionsItem value = 2; }
  message SecurityDefinitionsItem { ApiKeySecurity api_key_security = 2; }
  message ApiKeySecurity { string type = 1; string name = 2; string in = 3; string description = 4; }
  message Info { string title = 1; string version = 2; }
  message Paths { repeated NamedPathItem path = 2; }
  message NamedPathItem { string name = 1; PathItem value = 2; }
  message PathItem {
    Operation get = 2; Operation put = 3; Operation post = 4; Operation delete = 5; Operation options = 6; Operation head = 7;
    Operation patch = 8; repeated ParametersItem parameters = 9;
  }
  message Operation {
    repeated string tags = 1; string description = 3; string operation_id = 5; repeated string produces = 6;
    repeated string consumes = 7; repeated ParametersItem parameters = 8; Responses responses = 9; repeated string schemes = 10;
    repeated NamedAny vendor_extension = 13;
  }
  message ParametersItem { Parameter parameter = 1; JsonReference json_reference = 2; }
  message JsonReference { string _ref = 1; }
  message Parameter { BodyParameter body_parameter = 1; NonBodyParameter non_body_parameter = 2; }
  message BodyParameter { string name = 2; string in = 3; bool required = 4; Schema schema = 5; }
  message NonBodyParameter {
    QueryParameterSubSchema query_parameter_sub_schema = 3; PathParameterSubSchema path_parameter_sub_schema = 4;
  }
  message PathParameterSubSchema { bool required = 1; string in = 2; string name = 4; string type = 5; bool unique_items = 19; }
  message QueryParameterSubSchema { string in = 2; string name = 4; string type = 6; bool unique_items = 20; }
  message Responses { repeated NamedResponseValue response_code = 1; }
  message NamedResponseValue { string name = 1; ResponseValue value = 2; }
  message ResponseValue { Response response = 1; }
  message Response { string description = 1; SchemaItem schema = 2; }
  message SchemaItem { Schema schema = 1; }
  message Definitions { repeated NamedSchema additional_properties = 1; }
  message NamedSchema { string name = 1; Schema value = 2; }
  message Schema {
    string _ref = 1; string format = 2; string description = 4; Any default = 5; repeated string required = 19;
    repeated Any enum = 20; AdditionalPropertiesItem additional_properties = 21; TypeItem type = 22; ItemsItem items = 23;
    Properties properties = 25; repeated NamedAny vendor_extension = 31;
  }
  message AdditionalPropertiesItem { oneof oneof { Schema schema = 1; bool boolean = 2; } }
  message TypeItem { repeated string value = 1; }
  message ItemsItem { repeated Schema schema = 1; }
  message Properties { repeated NamedSchema additional_properties = 1; }
  message NamedAny { string name = 1; Any value = 2; }
  message Any { string yaml = 2; }
`,
  { keepCase: true },
);

const decode = (document: object): Record<string, unknown> => {
  const type = root.lookupType('Document');
  return type.toObject(type.decode(encodeOpenApiV2(document)));
};

const decodeSchema = (schema: object) =>
  (decode({ definitions: { It: schema } }).definitions as { additional_properties: { value: object }[] })
    .additional_properties[0]?.value;

describe('encodeOpenApiV2', () => {
  it.each([
    { name: 'a reference', schema: { $ref: '#/definitions/A' }, message: { _ref: '#/definitions/A' } },
    {
      name: 'a scalar with its default and values',
      schema: { type: 'string', format: 'byte', description: 'd', default: 'a', enum: ['a', 'b'] },
      message: {
        type: { value: ['string'] },
        format: 'byte',
        description: 'd',
        default: { yaml: '"a"' },
        enum: [{ yaml: '"a"' }, { yaml: '"b"' }],
      },
    },
    {
      name: 'a list with what patching needs',
      schema: {
        type: 'array',
        items: { $ref: '#/definitions/A' },
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['port', 'protocol'],
        'x-kubernetes-patch-merge-key': 'port',
      },
      message: {
        type: { value: ['array'] },
        items: { schema: [{ _ref: '#/definitions/A' }] },
        vendor_extension: [
          { name: 'x-kubernetes-list-type', value: { yaml: '"map"' } },
          { name: 'x-kubernetes-list-map-keys', value: { yaml: '["port","protocol"]' } },
          { name: 'x-kubernetes-patch-merge-key', value: { yaml: '"port"' } },
        ],
      },
    },
    {
      name: 'a map',
      schema: { type: 'object', additionalProperties: { type: 'integer' } },
      message: { type: { value: ['object'] }, additional_properties: { schema: { type: { value: ['integer'] } } } },
    },
    {
      name: 'a map of anything',
      schema: { additionalProperties: true },
      message: { additional_properties: { boolean: true } },
    },
    {
      name: 'an object',
      schema: {
        properties: { b: { type: 'string' }, a: {} },
        required: ['b', 'a'],
        'x-kubernetes-group-version-kind': [{ group: '', kind: 'It', version: 'v1' }],
      },
      message: {
        properties: {
          additional_properties: [
            { name: 'b', value: { type: { value: ['string'] } } },
            { name: 'a', value: {} },
          ],
        },
        required: ['b', 'a'],
        vendor_extension: [
          { name: 'x-kubernetes-group-version-kind', value: { yaml: '[{"group":"","kind":"It","version":"v1"}]' } },
        ],
      },
    },
  ])('writes $name', ({ schema, message }) => {
    expect(decodeSchema(schema)).toEqual(message);
  });

  it('writes head and operations', () => {
    const operation = {
      parameters: [{ name: 'dryRun', in: 'query', type: 'string', uniqueItems: true }],
      responses: { 200: { description: 'OK' } },
      'x-kubernetes-action': 'patch',
    };
    const info = { title: 'Kubernetes', version: 'v1' };
    const parameter = { name: 'dryRun', in: 'query', type: 'string', unique_items: true };
    expect(decode({ swagger: '2.0', info, paths: { '/a': { patch: operation }, '/b': {} } })).toEqual({
      swagger: '2.0',
      info,
      paths: {
        path: [
          {
            name: '/a',
            value: {
              patch: {
                parameters: [{ parameter: { non_body_parameter: { query_parameter_sub_schema: parameter } } }],
                responses: { response_code: [{ name: '200', value: { response: { description: 'OK' } } }] },
                vendor_extension: [{ name: 'x-kubernetes-action', value: { yaml: '"patch"' } }],
              },
            },
          },
          { name: '/b', value: {} },
        ],
      },
    });
  });

  it('writes bodies, answers, and what operations share', () => {
    const name = { in: 'path', name: 'name', type: 'string' };
    const put = {
      consumes: ['*/*'],
      description: 'd',
      operationId: 'replaceIt',
      parameters: [{ in: 'body', name: 'body', required: true, schema: { $ref: '#/definitions/It' } }],
      produces: ['application/json', 'application/yaml'],
      responses: { 200: { description: 'OK', schema: { type: 'string' } } },
      schemes: ['https'],
      tags: ['it_v1'],
    };
    const key = { type: 'apiKey', name: 'authorization', in: 'header', description: 'd' };
    const document = {
      paths: { '/a/{name}': { put, head: {}, options: {}, parameters: [{ $ref: '#/parameters/name-1' }] } },
      parameters: { 'name-1': { ...name, required: true, uniqueItems: true } },
      security: [{ Key: [] }],
      securityDefinitions: { Key: key },
    };
    const body = { name: 'body', in: 'body', required: true, schema: { _ref: '#/definitions/It' } };
    const answer = { response: { description: 'OK', schema: { schema: { type: { value: ['string'] } } } } };
    expect(decode(document)).toEqual({
      paths: {
        path: [
          {
            name: '/a/{name}',
            value: {
              put: {
                consumes: ['*/*'],
                description: 'd',
                operation_id: 'replaceIt',
                parameters: [{ parameter: { body_parameter: body } }],
                produces: put.produces,
                responses: { response_code: [{ name: '200', value: answer }] },
                schemes: ['https'],
                tags: ['it_v1'],
              },
              head: {},
              options: {},
              parameters: [{ json_reference: { _ref: '#/parameters/name-1' } }],
            },
          },
        ],
      },
      parameters: {
        additional_properties: [
          {
            name: 'name-1',
            value: {
              non_body_parameter: { path_parameter_sub_schema: { ...name, required: true, unique_items: true } },
            },
          },
        ],
      },
      security: [{ additional_properties: [{ name: 'Key', value: {} }] }],
      security_definitions: { additional_properties: [{ name: 'Key', value: { api_key_security: key } }] },
    });
  });

  it('loses nothing silently', () => {
    expect(() => decodeSchema({ oneOf: [] })).toThrow('no field for oneOf');
  });

  it('leaves out what it does not know where the caller wants that', () => {
    const unknown: string[] = [];
    const bytes = encodeOpenApiV2({ swagger: '2.0', host: 'a' }, (key) => unknown.push(key));
    expect([bytes, unknown]).toEqual([encodeOpenApiV2({ swagger: '2.0' }), ['host']]);
  });
});
