import { describe, expect, it } from 'vitest';
import { ApiError } from '../object/api-error.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import { decodeObject, parseJsonStrict, strictDecodingError } from './decode.ts';
import { decodeYaml } from './decode-yaml.ts';

const type = (group: string, kind: string) => builtinTypes().typeOf({ group, version: 'v1', kind })!;
const deployment = type('apps', 'Deployment');
const pod = type('', 'Pod');
const bytes = (text: string) => new TextEncoder().encode(text);
const failure = (run: () => unknown): string => {
  try {
    run();
  } catch (err) {
    if (err instanceof ApiError) return `${err.code} ${err.message}`;
    throw err;
  }
  return 'accepted';
};
const head = { apiVersion: 'apps/v1', kind: 'Deployment' };
const container = (fields: object) => ({ spec: { template: { spec: { containers: [{ name: 'a', ...fields }] } } } });
const subject = 'Deployment in version "v1" cannot be handled as a Deployment: ';

describe('decodeObject refuses a value of the wrong type', () => {
  const cases: { name: string; value: unknown; message: string }[] = [
    {
      name: 'text for a number',
      value: { ...head, spec: { replicas: 'x' } },
      message: 'json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32',
    },
    {
      name: 'a fraction for an integer',
      value: { ...head, spec: { replicas: 1.5 } },
      message: 'json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32',
    },
    {
      name: 'an integer out of range',
      value: { ...head, spec: { replicas: 2 ** 31 } },
      message:
        'json: cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32',
    },
    {
      name: 'a number for text inside lists',
      value: { ...head, ...container({ env: [{ name: 'a', value: 1 }] }) },
      message:
        'json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string',
    },
    {
      name: 'a number as a label',
      value: { ...head, metadata: { labels: { a: 1 } } },
      message: 'json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string',
    },
    {
      name: 'an object for a list',
      value: { ...head, spec: { template: { spec: { containers: {} } } } },
      message:
        'json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container',
    },
    {
      name: 'a list for an object',
      value: { ...head, spec: [] },
      message: 'json: cannot unmarshal array into Go struct field Deployment.spec of type v1.DeploymentSpec',
    },
    {
      name: 'no quantity',
      value: { ...head, ...container({ resources: { limits: { cpu: 'much' } } }) },
      message: "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    },
    {
      name: 'no time',
      value: { ...head, metadata: { creationTimestamp: 'yesterday' } },
      message: 'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": cannot parse "yesterday" as RFC 3339',
    },
  ];
  for (const { name, value, message } of cases) {
    it(name, () => expect(failure(() => decodeObject(value, deployment))).toBe(`400 ${subject}${message}`));
  }

  it('a list for the whole object', () => {
    expect(failure(() => decodeObject([], pod))).toBe(
      '400 Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal array into Go value of type v1.Pod',
    );
  });

  it('text that is no base64', () => {
    const secret = { apiVersion: 'v1', kind: 'Secret', data: { a: '%%' } };
    expect(failure(() => decodeObject(secret, type('', 'Secret')))).toContain('illegal base64 data at input byte 0');
  });
});

describe('decodeObject', () => {
  it('names unknown fields with their path and drops them', () => {
    const value = { ...head, speck: 1, ...container({ imag: 'x', ports: [{ prt: 1 }] }) };
    const { object, unknownFields } = decodeObject(value, deployment);
    expect(unknownFields).toEqual([
      'unknown field "speck"',
      'unknown field "spec.template.spec.containers[0].imag"',
      'unknown field "spec.template.spec.containers[0].ports[0].prt"',
    ]);
    expect(object).toEqual({ ...head, metadata: {}, ...container({ ports: [{}] }) });
    expect(strictDecodingError(object, unknownFields.slice(0, 1)).message).toBe(
      `${subject}strict decoding error: unknown field "speck"`,
    );
  });

  it('takes null as absent, and as the zero value inside lists and maps', () => {
    const value = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { labels: { a: null }, creationTimestamp: null },
      spec: { hostNetwork: null, containers: [null] },
    };
    expect(decodeObject(value, pod).object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { labels: { a: '' } },
      spec: { containers: [{}] },
    });
  });

  it('keeps zero values of pointers and drops the others', () => {
    const value = { ...head, spec: { replicas: 0, paused: false, minReadySeconds: 0 } };
    expect(decodeObject(value, deployment).object.spec).toEqual({ replicas: 0 });
  });

  it('never lets a client reach a prototype', () => {
    const { value } = parseJsonStrict(
      bytes('{"apiVersion":"v1","kind":"ConfigMap","__proto__":{"polluted":1},"data":{"__proto__":"x"}}'),
    );
    const { object, unknownFields } = decodeObject(value, type('', 'ConfigMap'));
    expect(unknownFields).toEqual(['unknown field "__proto__"']);
    expect(Object.getOwnPropertyNames(object.data)).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('parseJsonStrict', () => {
  it('names duplicate fields, the later value wins', () => {
    const text = '{"a":{"b":[{"c":1,"c":2}],"x":"\\":{}"},"a.b":1,"a":{"d":"e","d":"\\u0064"}}';
    expect(parseJsonStrict(bytes(text))).toEqual({
      value: { 'a.b': 1, a: { d: 'd' } },
      duplicateFields: ['duplicate field "a.b[0].c"', 'duplicate field "a"', 'duplicate field "a.d"'],
    });
    expect(parseJsonStrict(bytes('{"a":":,{","b":[1,{"c":null}]}')).duplicateFields).toEqual([]);
  });

  const refused: { name: string; body: Uint8Array; message: string }[] = [
    { name: 'nothing', body: bytes(''), message: 'unexpected end of JSON input' },
    { name: 'broken off text', body: bytes('{"a":'), message: 'unexpected end of JSON input' },
    { name: 'a stray character', body: bytes('{"a":1,\n x}'), message: "invalid character 'x' at line 2, column 2" },
    { name: 'invalid UTF-8', body: Uint8Array.of(0x22, 0xff, 0x22), message: 'invalid UTF-8' },
    { name: 'absurd nesting', body: bytes('['.repeat(100_000)), message: 'exceeded max depth 500' },
  ];
  for (const { name, body, message } of refused) {
    it(`refuses ${name}`, () => {
      expect(failure(() => parseJsonStrict(body))).toBe(`400 couldn't get version/kind; json parse error: ${message}`);
    });
  }
});

describe('decodeYaml', () => {
  const cases: { name: string; text: string; value: unknown }[] = [
    { name: 'octal numbers', text: 'mode: 0644', value: { mode: 420 } },
    { name: 'YAML 1.1 booleans', text: 'a: yes\nb: off\nc: "yes"', value: { a: true, b: false, c: 'yes' } },
    { name: 'dates as text', text: 'a: 2026-01-01', value: { a: '2026-01-01' } },
    { name: 'times of day as text', text: 'a: 12:30:45', value: { a: '12:30:45' } },
    { name: 'anchors and merges', text: 'a: &x {b: 1}\nc: {<<: *x, d: 2}', value: { a: { b: 1 }, c: { b: 1, d: 2 } } },
    { name: 'numbers as keys', text: '1: a', value: { 1: 'a' } },
  ];
  for (const { name, text, value } of cases) {
    it(`reads ${name}`, () => expect(decodeYaml(bytes(text))).toEqual({ value, duplicateFields: [] }));
  }

  it('names duplicate fields, the later value wins', () => {
    expect(decodeYaml(bytes('a: [{b: 1, b: 2}]'))).toEqual({
      value: { a: [{ b: 2 }] },
      duplicateFields: ['duplicate field "a[0].b"'],
    });
  });

  it('refuses malformed text and alias bombs', () => {
    expect(failure(() => decodeYaml(bytes('a: [1')))).toMatch(/^400 error converting YAML to JSON: yaml: line 1: /);
    const bomb = `a: &a [${'x,'.repeat(9)}x]\n${['b', 'c', 'd', 'e']
      .map((key, index) => `${key}: &${key} [${`*${'abcd'[index]},`.repeat(9)}*${'abcd'[index]}]`)
      .join('\n')}`;
    expect(failure(() => decodeYaml(bytes(bomb)))).toContain('alias');
  });
});
