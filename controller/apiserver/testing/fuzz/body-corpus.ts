import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import {
  answered,
  CONFIG_MAPS,
  DEPLOYMENTS,
  type FuzzCase,
  NAMESPACE,
  PODS,
  PROTOBUF_TYPE,
  post,
  refused,
  YAML_TYPE,
} from './fuzz-case.ts';

const bytes = (...parts: (string | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part))));

const MALFORMED: readonly (readonly [name: string, text: string | Uint8Array])[] = [
  ['nothing', ''],
  ['an open brace', '{'],
  ['a list', '[]'],
  ['null', 'null'],
  ['a string', '"x"'],
  ['a number', '42'],
  ['half a word', 'tru'],
  ['a field without a value', '{"a":}'],
  ['a trailing comma', '{"metadata":{"name":"x"},}'],
  ['names without quotes', '{metadata:{name:"x"}}'],
  ['single quotes', "{'metadata':{'name':'x'}}"],
  ['two documents', '{"metadata":{"name":"x"}}{"metadata":{"name":"y"}}'],
  ['a zero byte', '\u0000'],
  ['a byte order mark alone', '\ufeff'],
  ['a control character in a string', '{"metadata":{"name":"a\u0001b"}}'],
  ['a bad escape', '{"metadata":{"name":"\\x41"}}'],
  ['half a surrogate pair', '{"metadata":{"name":"\\ud800"}}'],
  ['invalid UTF-8 in a value', bytes('{"metadata":{"name":"', [0xff, 0xfe], '"}}')],
  ['invalid UTF-8 in a key', bytes('{"', [0xc3, 0x28], '":1}')],
  ['an overlong encoding', bytes('{"metadata":{"name":"', [0xc0, 0xaf], '"}}')],
  ['UTF-16', Buffer.from('{"metadata":{"name":"x"}}', 'utf16le')],
  ['NaN', '{"metadata":{"name":"x"},"data":NaN}'],
  ['a comment', '{/* */"metadata":{"name":"x"}}'],
  ['noise', bytes([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0x0d])],
];

const DEPTH = 100_000;
const nested = (open: string, close: string, inside = ''): string => open.repeat(DEPTH) + inside + close.repeat(DEPTH);

const NESTED: readonly FuzzCase[] = [
  refused('lists in lists without end', post(CONFIG_MAPS, '['.repeat(DEPTH))),
  refused('lists in lists', post(CONFIG_MAPS, nested('[', ']'))),
  refused('objects in objects', post(CONFIG_MAPS, nested('{"a":', '}', '1'))),
  refused(
    'depth where a string belongs',
    post(CONFIG_MAPS, `{"metadata":{"name":"deep"},"data":{"a":${nested('[', ']')}}}`),
  ),
  answered(
    'depth in a field that nobody knows',
    post(`${CONFIG_MAPS}?fieldValidation=Ignore`, `{"metadata":{"name":"deep-1"},"unknown":${nested('[', ']')}}`),
  ),
  answered(
    'depth in managedFields',
    post(
      CONFIG_MAPS,
      `{"metadata":{"name":"deep-2","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":${nested('{"f:a":', '}', '{}')}}]}}`,
    ),
  ),
  answered(
    'depth in raw JSON',
    post(
      `/apis/apps/v1/namespaces/${NAMESPACE}/controllerrevisions`,
      `{"metadata":{"name":"deep-3"},"revision":1,"data":${nested('{"a":', '}', '1')}}`,
    ),
  ),
  refused('depth in YAML', post(CONFIG_MAPS, nested('[', ']'), YAML_TYPE)),
  refused('block depth in YAML', post(CONFIG_MAPS, '- '.repeat(20_000), YAML_TYPE)),
];

const MEGABYTE = 1024 * 1024;
const many = (count: number, entry: (i: number) => string) => Array.from({ length: count }, (_, i) => entry(i)).join();

const HUGE: readonly FuzzCase[] = [
  refused(
    'a huge key in data',
    post(CONFIG_MAPS, `{"metadata":{"name":"huge"},"data":{"${'k'.repeat(MEGABYTE)}":""}}`),
  ),
  refused(
    'a huge label key',
    post(CONFIG_MAPS, `{"metadata":{"name":"huge","labels":{"${'k'.repeat(MEGABYTE)}":"x"}}}`),
  ),
  refused('a huge name', post(CONFIG_MAPS, `{"metadata":{"name":"${'n'.repeat(MEGABYTE)}"}}`)),
  refused('a huge generateName', post(CONFIG_MAPS, `{"metadata":{"generateName":"-${'n'.repeat(MEGABYTE)}"}}`)),
  refused('a huge kind', post(CONFIG_MAPS, `{"kind":"${'K'.repeat(MEGABYTE)}","apiVersion":"v1"}`)),
  refused('a body beyond the limit', post(CONFIG_MAPS, `{"metadata":{"name":"${'n'.repeat(4 * MEGABYTE)}"}}`)),
  refused(
    'many annotations',
    post(CONFIG_MAPS, `{"metadata":{"name":"many","annotations":{${many(50_000, (i) => `"a-${i}":"x"`)}}}}`),
  ),
  refused(
    'many unknown fields, strictly',
    post(`${CONFIG_MAPS}?fieldValidation=Strict`, `{"metadata":{"name":"many"},${many(50_000, (i) => `"f${i}":1`)}}`),
  ),
  answered(
    'many unknown fields',
    post(CONFIG_MAPS, `{"metadata":{"name":"many-1"},${many(50_000, (i) => `"f${i}":1`)}}`),
  ),
  answered(
    'many duplicate fields',
    post(CONFIG_MAPS, `{"metadata":{"name":"many-2"},${many(50_000, () => '"data":{}')}}`),
  ),
  answered(
    'many finalizers',
    post(
      `${CONFIG_MAPS}?dryRun=All`,
      `{"metadata":{"name":"many-3","finalizers":[${many(5_000, (i) => `"a.b/f${i}"`)}]}}`,
    ),
  ),
];

const POISON = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';

const POLLUTION: readonly FuzzCase[] = [
  refused('a prototype for an object', post(CONFIG_MAPS, POISON)),
  refused('a prototype for metadata', post(CONFIG_MAPS, `{"metadata":${POISON}}`)),
  refused('a prototype among labels', post(CONFIG_MAPS, '{"metadata":{"name":"poison","labels":{"__proto__":"x"}}}')),
  refused('a prototype that is no string', post(CONFIG_MAPS, `{"metadata":{"name":"poison"},"data":${POISON}}`)),
  answered(
    'keys of data that are called like built-ins',
    post(
      CONFIG_MAPS,
      '{"metadata":{"name":"poison-1"},"data":{"__proto__":"a","constructor":"b","toString":"c","hasOwnProperty":"d"}}',
    ),
  ),
  ...['__proto__', 'constructor', 'toString'].map((word) =>
    answered(
      `a Secret of the type ${word}`,
      post(`/api/v1/namespaces/${NAMESPACE}/secrets`, `{"metadata":{"name":"type"},"type":"${word}"}`),
    ),
  ),
  answered(
    'limits of a resource that is called like a built-in',
    post(
      `/api/v1/namespaces/${NAMESPACE}/limitranges`,
      '{"metadata":{"name":"l"},"spec":{"limits":[{"type":"Pod","max":{"a":"1"},"min":{"constructor":"1"}}]}}',
    ),
  ),
  answered(
    'a FlowSchema that is called like a built-in',
    post(
      '/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas?dryRun=All',
      '{"metadata":{"name":"constructor"},"spec":{"priorityLevelConfiguration":{"name":"constructor"}}}',
    ),
  ),
  refused(
    'a kind that is called like a built-in',
    post(CONFIG_MAPS, '{"kind":"__proto__","apiVersion":"constructor"}'),
  ),
  ...['__proto__', 'constructor', 'prototype', 'hasOwnProperty', 'toString'].flatMap((word) => [
    refused(`a resource called ${word}`, { method: 'GET', path: `/api/v1/${word}` }),
    refused(`a group called ${word}`, { method: 'GET', path: `/apis/${word}/v1/pods` }),
    refused(`a version called ${word}`, { method: 'GET', path: `/apis/apps/${word}/deployments` }),
    refused(`a subresource called ${word}`, { method: 'GET', path: `${CONFIG_MAPS}/target/${word}` }),
    refused(`an object called ${word}`, { method: 'GET', path: `${CONFIG_MAPS}/${word}` }),
    refused(`a field selector by ${word}`, { method: 'GET', path: `${CONFIG_MAPS}?fieldSelector=${word}%3Dx` }),
    answered(`a label selector by ${word}`, { method: 'GET', path: `${CONFIG_MAPS}?labelSelector=${word}` }),
  ]),
];

const withReplicas = (value: string) =>
  `{"metadata":{"name":"n"},"spec":{"replicas":${value},"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`;
const NUMBERS: readonly FuzzCase[] = [
  ...[
    '1e400',
    '-1',
    '1.5',
    '"1"',
    'true',
    '0x10',
    '01',
    '+1',
    '.5',
    '1.',
    '2147483648',
    '-2147483649',
    '1e',
    '[]',
    '{}',
  ].map((value) => refused(`${value} replicas`, post(DEPLOYMENTS, withReplicas(value)))),
  ...['9'.repeat(400), `1${'0'.repeat(10_000)}`, `0.${'0'.repeat(100)}1`].map((value) =>
    refused(`a number of ${value.length} digits`, post(DEPLOYMENTS, withReplicas(value))),
  ),
  answered('minus no replicas', post(`${DEPLOYMENTS}?dryRun=All`, withReplicas('-0'))),
  ...['1e99999999', '1Zi', '', '--1', '1.2.3', `1${'0'.repeat(5_000)}`, '1e-99999999'].map((value) =>
    answered(
      `${value.length > 20 ? 'a long number' : `"${value}"`} of memory`,
      post(
        PODS,
        `{"metadata":{"name":"q"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"memory":"${value}"}}}]}}`,
      ),
    ),
  ),
];

const YAML: readonly (readonly [name: string, text: string])[] = [
  [
    'an alias bomb',
    `a: &a [${'x,'.repeat(10)}]\n${Array.from({ length: 12 }, (_, i) => `k${i}: &b${i} [${`*${i === 0 ? 'a' : `b${i - 1}`},`.repeat(10)}]`).join('\n')}`,
  ],
  ['an anchor of itself', 'metadata: &a\n  name: x\n  labels: *a'],
  ['an unknown alias', 'metadata: *nowhere'],
  ['a function', 'metadata: !!js/function "function () { process.exit(1) }"'],
  ['a Python object', 'metadata: !!python/object/apply:os.system ["exit 1"]'],
  ['several documents', 'metadata: {name: x}\n---\nmetadata: {name: y}'],
  ['tabs', 'metadata:\n\tname: x'],
  ['an open quote', 'metadata: {name: "x}'],
  ['a list', '- a\n- b'],
  ['a directive', '%YAML 9.9\n---\n{}'],
  ['complex keys', '? [a, b]\n: x'],
  ['a merge key', 'base: &b {name: x}\nmetadata:\n  <<: *b\n  generation: x'],
  ['binary', 'metadata: !!binary "/////w=="'],
];

/** Valid, to be cut short. */
function encodedPod(): Uint8Array {
  const gvk = { group: '', version: 'v1', kind: 'Pod' };
  const type = builtinTypes().typeOf(gvk);
  if (type === undefined) throw new Error('the type table lacks Pod');
  const object = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'cut', labels: { a: 'b' } },
    spec: { containers: [{ name: 'c', image: 'i', env: [{ name: 'A', value: 'b' }] }] },
  };
  return encodeProtobuf(object, type);
}

const MAGIC = [0x6b, 0x38, 0x73, 0];
const POD_ENVELOPE = [...MAGIC, 0x0a, 9, 0x0a, 2, 0x76, 0x31, 0x12, 3, 0x50, 0x6f, 0x64];

function protobufCases(): FuzzCase[] {
  const pod = encodedPod();
  // Behind the object itself the envelope ends with two empty fields, which may be left out.
  const cut = Array.from({ length: pod.byteLength - 4 }, (_, i) =>
    refused(`protobuf cut at byte ${i}`, post(PODS, pod.slice(0, i), PROTOBUF_TYPE)),
  );
  const junk: [string, number[]][] = [
    ['no magic', [1, 2, 3, 4]],
    ['an endless varint', [...MAGIC, ...new Array<number>(20).fill(0xff)]],
    ['a length beyond the end', [...POD_ENVELOPE, 0x12, 0xff, 0xff, 0xff, 0xff, 0x0f]],
    ['a negative length', [...POD_ENVELOPE, 0x12, ...new Array<number>(9).fill(0xff), 0x01]],
    ['a group', [...POD_ENVELOPE, 0x12, 1, 0x0b]],
    ['field zero', [...POD_ENVELOPE, 0x12, 2, 0x00, 0x00]],
    ['another kind', [...MAGIC, 0x0a, 4, 0x12, 2, 0x58, 0x58]],
    ['invalid UTF-8', [...POD_ENVELOPE, 0x12, 5, 0x0a, 3, 0x0a, 1, 0xff]],
  ];
  return [...cut, ...junk.map(([name, body]) => refused(name, post(PODS, Uint8Array.from(body), PROTOBUF_TYPE)))];
}

/** Bodies that are no objects, or not the ones that they should be. */
export function bodyCorpus(): readonly FuzzCase[] {
  return [
    ...MALFORMED.map(([name, text]) => refused(name, post(CONFIG_MAPS, text))),
    ...NESTED,
    ...HUGE,
    ...POLLUTION,
    ...NUMBERS,
    ...YAML.map(([name, text]) => refused(`YAML: ${name}`, post(CONFIG_MAPS, text, YAML_TYPE))),
    ...protobufCases(),
  ];
}
