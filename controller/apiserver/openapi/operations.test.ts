import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { servedDefinitions } from '../resources/testing/served-definitions.ts';
import { type Answer, createTestServer } from '../server/testing/test-server.ts';

const PATHS = join(import.meta.dirname, '../../../../shared/reference/k8s-1.36-paths.tsv');
const hasReference = existsSync(PATHS);
if (!hasReference) console.log(`operations.test: comparison with Kubernetes skipped, nothing at ${PATHS}`);

const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const CRONTABS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'crontabs.stable.example.com' },
  spec: {
    group: 'stable.example.com',
    scope: 'Namespaced',
    names: { plural: 'crontabs', kind: 'CronTab', listKind: 'CronTabs' },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        subresources: {
          status: {},
          scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
        },
      },
    ],
  },
};
const TABS = '/apis/stable.example.com/v1/namespaces/{namespace}/crontabs';

interface Told {
  readonly path: string;
  readonly method: string;
  readonly operation: Answer;
  /** Of the path and of the operation, references resolved. */
  readonly parameters: readonly Answer[];
}

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch'];

function operationsOf(document: Answer): Told[] {
  return Object.entries<Answer>(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method] !== undefined).map((method) => {
      const parameters = [...(item.parameters ?? []), ...(item[method].parameters ?? [])];
      return { path, method, operation: item[method], parameters: parameters.map((one) => resolve(document, one)) };
    }),
  );
}

function resolve(document: Answer, value: Answer): Answer {
  if (typeof value.$ref !== 'string') return value;
  const parts = value.$ref.slice(2).split('/');
  return parts.reduce((at: Answer, part: string) => at?.[part], document);
}

function danglingReferences(document: Answer): string[] {
  const found: string[] = [];
  const visit = (value: Answer): void => {
    if (typeof value !== 'object' || value === null) return;
    if (typeof value.$ref === 'string' && resolve(document, value) === undefined) found.push(value.$ref);
    for (const child of Object.values(value)) visit(child);
  };
  visit(document);
  return [...new Set(found)];
}

let v2: Answer;
const v3: Answer[] = [];

beforeAll(async () => {
  const api = createTestServer({ definitions: servedDefinitions() });
  await api.expect(201, 'POST', CRDS, CRONTABS);
  const isServed = async () => (await api.call('GET', '/apis/stable.example.com/v1')).status === 200;
  while (!(await isServed())) await new Promise((done) => setImmediate(done));
  v2 = await api.expect(200, 'GET', '/openapi/v2');
  const { paths } = await api.expect(200, 'GET', '/openapi/v3');
  for (const { serverRelativeURL } of Object.values<Answer>(paths)) {
    v3.push(await api.expect(200, 'GET', serverRelativeURL));
  }
});

const at = (path: string, method: string): Told => {
  const found = operationsOf(v2).find((one) => one.path === path && one.method === method);
  if (found === undefined) throw new Error(`no ${method} ${path}`);
  return found;
};

const PODS = '/api/v1/namespaces/{namespace}/pods';

describe('operations of OpenAPI', () => {
  it.each([
    ['get', '/api/v1/pods', 'listCoreV1PodForAllNamespaces'],
    ['get', PODS, 'listCoreV1NamespacedPod'],
    ['delete', PODS, 'deleteCoreV1CollectionNamespacedPod'],
    ['post', `${PODS}/{name}/eviction`, 'createCoreV1NamespacedPodEviction'],
    ['get', `${PODS}/{name}/log`, 'readCoreV1NamespacedPodLog'],
    ['get', `${PODS}/{name}/exec`, 'connectCoreV1GetNamespacedPodExec'],
    ['put', `${PODS}/{name}/proxy/{path}`, 'connectCoreV1PutNamespacedPodProxyWithPath'],
    ['patch', `${PODS}/{name}/ephemeralcontainers`, 'patchCoreV1NamespacedPodEphemeralcontainers'],
    ['get', '/api/v1/nodes/{name}', 'readCoreV1Node'],
    ['put', '/api/v1/namespaces/{name}/finalize', 'replaceCoreV1NamespaceFinalize'],
    ['get', '/api/v1/watch/pods', 'watchCoreV1PodListForAllNamespaces'],
    ['get', '/api/v1/watch/nodes/{name}', 'watchCoreV1Node'],
    ['patch', '/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale', 'patchAppsV1NamespacedDeploymentScale'],
    ['get', '/apis/apps/v1/', 'getAppsV1APIResources'],
    ['get', '/apis/apps/', 'getAppsAPIGroup'],
    ['get', '/apis/rbac.authorization.k8s.io/', 'getRbacAuthorizationAPIGroup'],
    ['get', '/apis/', 'getAPIVersions'],
    ['get', '/api/', 'getCoreAPIVersions'],
    ['get', '/version/', 'getCodeVersion'],
    ['get', '/openid/v1/jwks/', 'getServiceAccountIssuerOpenIDKeyset'],
    ['post', '/apis/rbac.authorization.k8s.io/v1/clusterroles', 'createRbacAuthorizationV1ClusterRole'],
    ['get', TABS, 'listStableExampleComV1NamespacedCronTab'],
    ['put', `${TABS}/{name}/scale`, 'replaceStableExampleComV1NamespacedCronTabScale'],
  ])('%s %s is %s', (method, path, id) => {
    expect(at(path, method).operation.operationId).toBe(id);
  });

  it('say the same in v2 and v3, and no two have one name', () => {
    const ids = (documents: Answer[]) =>
      documents
        .flatMap(operationsOf)
        .map(({ operation }) => operation.operationId)
        .sort();
    expect(ids(v3)).toEqual(ids([v2]));
    expect(new Set(ids([v2])).size).toBe(ids([v2]).length);
  });

  it('refer to nothing that is not there', () => {
    expect([v2, ...v3].flatMap(danglingReferences)).toEqual([]);
  });

  it('name all of their path parameters, and know the types of the others', () => {
    const wrong = [v2, ...v3].flatMap(operationsOf).flatMap(({ path, operation, parameters }) => {
      const names = parameters.filter((one) => one.in === 'path').map((one) => one.name);
      const wanted = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const isTyped = parameters.every(
        (one) => one.in === 'body' || /^(string|boolean|integer)$/.test((one.schema ?? one).type),
      );
      const isUnique = new Set(parameters.map((one) => `${one.in} ${one.name}`)).size === parameters.length;
      return names.sort().join() === wanted.sort().join() && isTyped && isUnique ? [] : [operation.operationId];
    });
    expect(wrong).toEqual([]);
  });

  it('have types of Kubernetes for what stands in the query', () => {
    const types = (told: Told) =>
      Object.fromEntries(told.parameters.filter((one) => one.in === 'query').map((one) => [one.name, one.type]));
    expect(types(at(PODS, 'get'))).toEqual({
      allowWatchBookmarks: 'boolean',
      continue: 'string',
      fieldSelector: 'string',
      labelSelector: 'string',
      limit: 'integer',
      pretty: 'string',
      resourceVersion: 'string',
      resourceVersionMatch: 'string',
      sendInitialEvents: 'boolean',
      timeoutSeconds: 'integer',
      watch: 'boolean',
    });
    expect(types(at(`${PODS}/{name}/log`, 'get'))).toEqual({
      container: 'string',
      follow: 'boolean',
      insecureSkipTLSVerifyBackend: 'boolean',
      limitBytes: 'integer',
      pretty: 'string',
      previous: 'boolean',
      sinceSeconds: 'integer',
      stream: 'string',
      tailLines: 'integer',
      timestamps: 'boolean',
    });
    expect(types(at(`${PODS}/{name}`, 'patch'))).toMatchObject({ dryRun: 'string', force: 'boolean' });
    expect(types(at(`${PODS}/{name}`, 'delete'))).toMatchObject({
      gracePeriodSeconds: 'integer',
      orphanDependents: 'boolean',
    });
  });

  it('have a body exactly where something is sent, and answers with a schema', () => {
    const wrong = [v2, ...v3].flatMap((document) =>
      operationsOf(document).flatMap(({ method, operation, parameters }) => {
        const action = operation['x-kubernetes-action'];
        const isV2 = document.swagger !== undefined;
        const hasBody = isV2 ? parameters.some((one) => one.in === 'body') : operation.requestBody !== undefined;
        const wantsBody = action !== 'connect' && method !== 'get';
        const successes = Object.entries<Answer>(operation.responses).filter(([code]) => code.startsWith('2'));
        const areWhole = successes.every(([, { schema, content }]) => (isV2 ? schema : Object.values(content)[0]));
        return hasBody === wantsBody && successes.length > 0 && areWhole ? [] : [operation.operationId];
      }),
    );
    expect(wrong).toEqual([]);
  });

  it.each([
    { method: 'get', path: PODS, schema: 'io.k8s.api.core.v1.PodList' },
    { method: 'delete', path: PODS, schema: 'io.k8s.apimachinery.pkg.apis.meta.v1.Status' },
    { method: 'delete', path: `${PODS}/{name}`, schema: 'io.k8s.api.core.v1.Pod' },
    { method: 'delete', path: '/api/v1/nodes/{name}', schema: 'io.k8s.apimachinery.pkg.apis.meta.v1.Status' },
    { method: 'get', path: '/api/v1/watch/pods', schema: 'io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent' },
    {
      method: 'post',
      path: '/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token',
      schema: 'io.k8s.api.authentication.v1.TokenRequest',
    },
    { method: 'get', path: TABS, schema: 'com.example.stable.v1.CronTabs' },
    { method: 'get', path: `${TABS}/{name}/scale`, schema: 'io.k8s.api.autoscaling.v1.Scale' },
  ])('$method $path answers $schema', ({ method, path, schema }) => {
    expect(at(path, method).operation.responses[200].schema).toEqual({ $ref: `#/definitions/${schema}` });
  });

  it('take patches in the forms that the kind can be patched with', () => {
    const forms = ['application/json-patch+json', 'application/merge-patch+json', 'application/apply-patch+yaml'];
    expect(at(`${PODS}/{name}`, 'patch').operation.consumes).toEqual([
      ...forms.slice(0, 2),
      'application/strategic-merge-patch+json',
      ...forms.slice(2),
    ]);
    expect(at(`${TABS}/{name}`, 'patch').operation.consumes).toEqual(forms);
    expect(at(TABS, 'get').operation.produces).toEqual(['application/json', 'application/yaml']);
  });

  it.runIf(hasReference)('are those of Kubernetes on all paths, with their actions and kinds', () => {
    expect([told([v2]), told(v3)]).toEqual([reference(), reference()]);
  });
});

/** Path, actions and kind of each path of built-in resources, as the reference writes them. */
function told(documents: Answer[]): string[] {
  const paths = new Map<string, { actions: Set<string>; kinds: Set<string> }>();
  for (const { path, operation } of documents.flatMap(operationsOf)) {
    if (/\/watch\/|\/$|\/tunnel$|^\/apis\/stable\.example\.com/.test(path)) continue;
    const { actions, kinds } = paths.get(path) ?? { actions: new Set(), kinds: new Set() };
    const { group, version, kind } = operation['x-kubernetes-group-version-kind'];
    actions.add(operation['x-kubernetes-action']);
    kinds.add([group, version, kind].filter((part) => part !== '').join('/'));
    paths.set(path, { actions, kinds });
  }
  return [...paths].map(([path, { actions, kinds }]) => [path, [...actions].sort(), [...kinds]].join('\t')).sort();
}

function reference(): string[] {
  return readFileSync(PATHS, 'utf8')
    .split('\n')
    .filter((line) => /^\/(api|apis\/[^/]+)\/v\d+\//.test(line))
    .sort();
}
