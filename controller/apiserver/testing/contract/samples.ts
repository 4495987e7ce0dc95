/** Objects of the contract: kinds that no controller touches, so that only the tests write them. */

export const secretsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/secrets`;
export const configMapsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/configmaps`;
export const podsOf = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
export const leasesOf = (namespace: string) => `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
export const servicesOf = (namespace: string) => `/api/v1/namespaces/${namespace}/services`;
export const deploymentsOf = (namespace: string) => `/apis/apps/v1/namespaces/${namespace}/deployments`;

export const secret = (name: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, ...(Object.keys(labels).length === 0 ? {} : { labels }) },
  data: { key: 'dmFsdWU=' },
});

export const configMap = (name: string, data: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
});

/** Of a scheduler that does not exist; with a node it lies where no agent finds it. */
export const pod = (name: string, nodeName?: string, labels: Record<string, string> = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels },
  spec: {
    schedulerName: 'nobody',
    ...(nodeName === undefined ? {} : { nodeName }),
    containers: [{ name: 'main', image: 'main:1' }],
  },
});

/** Paused and without replicas: its controller has nothing to do but to say so. */
export const deployment = (name: string, image = 'main:1') => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas: 0,
    paused: true,
    selector: { matchLabels: { app: name } },
    template: { metadata: { labels: { app: name } }, spec: { containers: [{ name: 'main', image }] } },
  },
});
