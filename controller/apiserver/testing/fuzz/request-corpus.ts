import type { ContractCall } from '../contract/contract-target.ts';
import { answered, CONFIG_MAPS, type FuzzCase, post, refused, TARGET } from './fuzz-case.ts';

const list = (query: string): ContractCall => ({ method: 'GET', path: `${CONFIG_MAPS}?${query}` });
const create = (query: string): ContractCall => post(`${CONFIG_MAPS}?${query}`, '{"metadata":{"name":"query"}}');
const remove = (query: string): ContractCall => ({ method: 'DELETE', path: `${TARGET}?${query}&dryRun=All` });

/** Query parameters that contradict each other, or mean nothing. */
const QUERIES: readonly FuzzCase[] = [
  ...[
    'limit=many',
    'limit=1.5',
    'limit=99999999999999999999',
    'continue=%00',
    'continue=bm9uc2Vuc2U',
    'continue=e30',
    'continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTUsInN0YXJ0IjoiLi4vLi4vIn0',
    'resourceVersion=abc',
    'resourceVersion=-1',
    'resourceVersion=1e3',
    'resourceVersion=99999999999999999999999',
    'resourceVersionMatch=Sideways&resourceVersion=1',
    'resourceVersionMatch=Exact',
    'resourceVersionMatch=Exact&resourceVersion=0',
    'resourceVersionMatch=NotOlderThan&continue=e30',
    'sendInitialEvents=true',
    'watch=true&sendInitialEvents=true',
    'watch=true&sendInitialEvents=true&resourceVersionMatch=Exact',
    'watch=true&resourceVersion=abc',
    'watch=true&resourceVersionMatch=Exact&resourceVersion=1',
    'watch=true&timeoutSeconds=soon',
    'labelSelector=((',
    'labelSelector=a+in+b',
    'labelSelector=a%3D%3D%3Db',
    `labelSelector=${'x'.repeat(5_000)}`,
    `labelSelector=${'a%2C'.repeat(3_000)}%2C`,
    'fieldSelector=nonsense%3Dx',
    'fieldSelector=metadata.name',
    'fieldSelector=metadata.name+in+(a)',
    'timeout=never',
    'timeout=-1s',
  ].map((query) => refused(`a list with ${query.slice(0, 60)}`, list(query))),
  ...['limit=-1', 'resourceVersion=', 'watch=0', 'labelSelector=', 'limit=0', 'nonsense=1', 'limit=1&limit=x'].map(
    (query) => answered(`a list with ${query}`, list(query)),
  ),
  ...[
    'dryRun=Some',
    'fieldValidation=Loud',
    `fieldManager=${'m'.repeat(1_000)}`,
    'fieldManager=%07',
    'dryRun=All&dryRun=None',
  ].map((query) => refused(`a creation with ${query.slice(0, 60)}`, create(query))),
  ...[
    'propagationPolicy=Sideways',
    'propagationPolicy=Orphan&orphanDependents=true',
    'gracePeriodSeconds=soon',
    'gracePeriodSeconds=1.5',
  ].map((query) => refused(`a deletion with ${query}`, remove(query))),
];

/** Addresses that no object has. */
const PATHS: readonly FuzzCase[] = [
  '/api/v1/namespaces/%zz/configmaps',
  '/api/v1/namespaces/%ff/configmaps/x',
  '/api/v1/namespaces/a%2Fb/configmaps/x',
  `${CONFIG_MAPS}/..%2F..%2Fsecrets`,
  `${CONFIG_MAPS}/%00`,
  `${CONFIG_MAPS}/${'x'.repeat(5_000)}`,
  '/api/v2/pods',
  '/api/v1/nothing',
  '/apis/nothing/v1/things',
  '/apis/apps/v9/deployments',
  '/api/v1/watch',
  `${TARGET}/status`,
  `${TARGET}/scale`,
  `${TARGET}/a/b/c/d`,
  '/nothing',
].map((path) => refused(`GET ${path.slice(0, 60)}`, { method: 'GET', path }));

const VALID = '{"metadata":{"name":"typed"}}';
const typed = (contentType: string): ContractCall => post(CONFIG_MAPS, VALID, contentType);

const CONTENT_TYPES: readonly FuzzCase[] = [
  ...[
    'text/plain',
    'text/html',
    'application/xml',
    'application/octet-stream',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/cbor',
    'application/json-patch+json',
    'application/json/x',
    ';;;',
    'nonsense',
    'application/json; charset',
  ].map((type) => refused(`a creation as ${type}`, typed(type))),
  ...['application/json;', 'APPLICATION/JSON', 'application/json; charset=utf-8', 'application/json;q=x'].map((type) =>
    answered(`a creation as ${type}`, typed(type)),
  ),
  ...[
    'application/json',
    'application/yaml',
    'application/vnd.kubernetes.protobuf',
    'application/apply-patch+cbor',
    'constructor',
    'text/plain',
  ].map((type) =>
    refused(`a patch as ${type}`, { method: 'PATCH', path: TARGET, body: '{}', headers: { 'content-type': type } }),
  ),
  ...['text/html', 'application/cbor', 'image/*', 'constructor', ';;;', 'application/json;q=0'].map((accept) =>
    refused(`an answer as ${accept}`, { method: 'GET', path: TARGET, headers: { accept } }),
  ),
];

type PatchType = 'json-patch+json' | 'merge-patch+json' | 'strategic-merge-patch+json' | 'apply-patch+yaml';
const patch = (type: PatchType, body: string, query = ''): ContractCall => ({
  method: 'PATCH',
  path: `${TARGET}${query}`,
  body,
  headers: { 'content-type': `application/${type}` },
});

/** Each copy doubles what is there. */
const DOUBLINGS = Array.from({ length: 60 }, (_, i) => `{"op":"copy","from":"/data","path":"/data/x${i}"}`).join();

const PATCHES: readonly FuzzCase[] = [
  ...[
    '{',
    '{}',
    'null',
    '[null]',
    '["x"]',
    '[{}]',
    '[{"op":"fly","path":"/data"}]',
    '[{"op":"add","path":"data","value":{}}]',
    '[{"op":"replace","path":"/nothing/there","value":1}]',
    '[{"op":"remove","path":"/nothing"}]',
    '[{"op":"test","path":"/kind","value":"Pod"}]',
    '[{"op":"add","path":"/metadata/finalizers/5","value":"a/b"}]',
    '[{"op":"move","from":"/data","path":"/data/inside"}]',
    '[{"op":"copy","from":"/nothing","path":"/data"}]',
    '[{"op":"replace","path":"/kind","value":"Pod"}]',
    '[{"op":"replace","path":"","value":[]}]',
    '[{"op":"replace","path":"/metadata","value":null}]',
    '[{"op":"add","path":"/data","value":[[]]}]',
    '[{"op":"add","path":"/__proto__/polluted","value":1}]',
    '[{"op":"add","path":"/constructor/prototype/polluted","value":1}]',
    `[{"op":"add","path":"/data","value":{"a":"x"}},${DOUBLINGS}]`,
    `[${Array.from({ length: 10_001 }, () => '{"op":"test","path":"/kind","value":"ConfigMap"}').join()}]`,
  ].map((body) => refused(`JSON patch ${body.slice(0, 70)}`, patch('json-patch+json', body))),
  ...[
    '{',
    '[]',
    'null',
    '"x"',
    '{"kind":"Pod"}',
    '{"metadata":null}',
    '{"metadata":{"name":"other"}}',
    '{"metadata":{"namespace":"other"}}',
    '{"metadata":{"uid":"other"}}',
    '{"metadata":{"resourceVersion":"1"}}',
    '{"data":[]}',
    '{"data":{"a":1}}',
    `{"data":{"a":${'['.repeat(50_000)}${']'.repeat(50_000)}}}`,
  ].map((body) => refused(`merge patch ${body.slice(0, 60)}`, patch('merge-patch+json', body))),
  ...[
    '{"$patch":"explode"}',
    '{"metadata":{"$patch":"merge","finalizers":{"$patch":"delete"}}}',
    '[]',
    '{"data":[{"$patch":"replace"}]}',
  ].map((body) => refused(`strategic patch ${body}`, patch('strategic-merge-patch+json', body))),
  ...[
    '{"$retainKeys":["a"],"data":{"b":"c"}}',
    '{"$setElementOrder/data":["a"]}',
    '{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"]}}',
    '{"__proto__":{"polluted":1}}',
    '{"metadata":{"annotations":{"constructor":null,"__proto__":null}}}',
  ].map((body) => answered(`strategic patch ${body}`, patch('strategic-merge-patch+json', body))),
  refused('an apply of nobody', patch('apply-patch+yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: target}')),
  ...[
    '{',
    '- a',
    'null',
    'kind: Pod\napiVersion: v1',
    'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: target, managedFields: [{}]}',
  ].map((body) => refused(`an apply of ${JSON.stringify(body)}`, patch('apply-patch+yaml', body, '?fieldManager=m'))),
  refused('a merge patch by force', patch('merge-patch+json', '{}', '?force=true')),
];

const DELETE_OPTIONS: readonly FuzzCase[] = [
  '{',
  '[]',
  '{"kind":"Pod","apiVersion":"v1"}',
  '{"gracePeriodSeconds":"soon"}',
  '{"propagationPolicy":"Sideways"}',
  '{"preconditions":{"uid":"other"}}',
  '{"preconditions":[]}',
  '{"dryRun":["Some"]}',
].map((body) =>
  refused(`a deletion with the body ${body}`, {
    method: 'DELETE',
    path: TARGET,
    body,
    headers: { 'content-type': 'application/json' },
  }),
);

/** Requests whose body is the least of their problems. */
export function requestCorpus(): readonly FuzzCase[] {
  return [...QUERIES, ...PATHS, ...CONTENT_TYPES, ...PATCHES, ...DELETE_OPTIONS];
}
