import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { servedDefinitions } from './testing/served-definitions.ts';

const PATHS = join(import.meta.dirname, '../../../../shared/reference/k8s-1.36-paths.tsv');
const hasReference = existsSync(PATHS);
if (!hasReference) console.log(`served-resources.test: comparison with Kubernetes skipped, nothing at ${PATHS}`);

const definitions = servedDefinitions();

const VERBS: Readonly<Record<string, string>> = { get: 'get', put: 'update', post: 'create', patch: 'patch' };

/** `group/version/resource[/subresource]` with its verbs; main resources also say `list`, `delete` and so on. */
function served(): Map<string, ReadonlySet<string>> {
  const found = new Map<string, ReadonlySet<string>>();
  for (const { group, version, resource, verbs, hasStatus, subresources } of definitions) {
    const key = `${group}/${version}/${resource}`;
    found.set(key, new Set(verbs));
    if (hasStatus) found.set(`${key}/status`, new Set(['get', 'update', 'patch']));
    for (const subresource of subresources) found.set(`${key}/${subresource.name}`, new Set(subresource.verbs));
  }
  return found;
}

/** What Kubernetes serves in stable versions; paths below a proxy are the proxy's. */
function wanted(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>();
  for (const line of readFileSync(PATHS, 'utf8').split('\n')) {
    const [path = '', actions = ''] = line.split('\t');
    const match =
      /^\/(?:api|apis\/([^/]+))\/(v\d+)\/(?:namespaces\/\{namespace\}\/)?([a-z]+)(?:\/\{name\}(?:\/([a-z]+))?)?$/.exec(
        path,
      );
    if (match === null) continue;
    const [, group = '', version, resource, subresource] = match;
    const key = `${group}/${version}/${resource}${subresource === undefined ? '' : `/${subresource}`}`;
    const verbs = found.get(key) ?? new Set();
    for (const action of actions.split(',')) {
      // Connecting subresources list every method; discovery names the two that clients use.
      const verb = VERBS[action] ?? (subresource === undefined ? action : undefined);
      if (verb !== undefined) verbs.add(verb);
    }
    found.set(key, verbs);
  }
  return found;
}

/** Stable in Kubernetes 1.36 and not served here: shrinks only. */
const NOT_SERVED: readonly string[] = [];
const METHODS_OF_PROXIES = new Set(['attach', 'exec', 'portforward', 'proxy']);

test.runIf(hasReference)('every stable resource and subresource of Kubernetes is served', () => {
  const ours = served();
  expect([...wanted().keys()].filter((key) => !ours.has(key)).sort()).toEqual(NOT_SERVED);
});

test.runIf(hasReference)('with every verb', () => {
  const ours = served();
  const missing = [...wanted()].flatMap(([key, verbs]) => {
    if (METHODS_OF_PROXIES.has(key.split('/')[3] ?? '')) return [];
    return [...verbs].filter((verb) => ours.get(key)?.has(verb) === false).map((verb) => `${verb} ${key}`);
  });
  expect(missing).toEqual([]);
});

const names = (field: 'shortNames' | 'categories'): Record<string, string> =>
  Object.fromEntries(
    definitions
      .filter((definition) => definition[field].length > 0)
      .map((definition) => [
        `${definition.group}/${definition.version}/${definition.resource}`,
        definition[field].join(','),
      ]),
  );

test('short names are those of Kubernetes', () => {
  expect(names('shortNames')).toEqual({
    '/v1/componentstatuses': 'cs',
    '/v1/configmaps': 'cm',
    '/v1/endpoints': 'ep',
    '/v1/events': 'ev',
    '/v1/limitranges': 'limits',
    '/v1/namespaces': 'ns',
    '/v1/nodes': 'no',
    '/v1/persistentvolumeclaims': 'pvc',
    '/v1/persistentvolumes': 'pv',
    '/v1/pods': 'po',
    '/v1/replicationcontrollers': 'rc',
    '/v1/resourcequotas': 'quota',
    '/v1/serviceaccounts': 'sa',
    '/v1/services': 'svc',
    'apiextensions.k8s.io/v1/customresourcedefinitions': 'crd,crds',
    'apps/v1/daemonsets': 'ds',
    'apps/v1/deployments': 'deploy',
    'apps/v1/replicasets': 'rs',
    'apps/v1/statefulsets': 'sts',
    'autoscaling/v1/horizontalpodautoscalers': 'hpa',
    'autoscaling/v2/horizontalpodautoscalers': 'hpa',
    'batch/v1/cronjobs': 'cj',
    'certificates.k8s.io/v1/certificatesigningrequests': 'csr',
    'events.k8s.io/v1/events': 'ev',
    'networking.k8s.io/v1/ingresses': 'ing',
    'networking.k8s.io/v1/ipaddresses': 'ip',
    'networking.k8s.io/v1/networkpolicies': 'netpol',
    'policy/v1/poddisruptionbudgets': 'pdb',
    'scheduling.k8s.io/v1/priorityclasses': 'pc',
    'storage.k8s.io/v1/storageclasses': 'sc',
    'storage.k8s.io/v1/volumeattributesclasses': 'vac',
  });
});

test('`kubectl get all` shows what it shows in Kubernetes', () => {
  const inAll = Object.entries(names('categories')).filter(([, categories]) => categories.includes('all'));
  expect(inAll.map(([key]) => key).sort()).toEqual([
    '/v1/pods',
    '/v1/replicationcontrollers',
    '/v1/services',
    'apps/v1/daemonsets',
    'apps/v1/deployments',
    'apps/v1/replicasets',
    'apps/v1/statefulsets',
    'autoscaling/v1/horizontalpodautoscalers',
    'autoscaling/v2/horizontalpodautoscalers',
    'batch/v1/cronjobs',
    'batch/v1/jobs',
  ]);
});
