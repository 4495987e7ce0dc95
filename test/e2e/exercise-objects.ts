import type { TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const LONG_MS = 60_000;

/** Commands of one cluster, short enough that the situations below read as lists. */
export interface Hands {
  ok(command: string): Promise<string>;
  apply(...manifests: readonly object[]): Promise<string>;
  until(what: string, command: string, pattern: RegExp): Promise<unknown>;
}

export function handsOf(cluster: TestCluster): Hands {
  const ok = (command: string) => cluster.kubectlOk(command.split(' '));
  return {
    ok,
    apply: (...items) =>
      cluster.kubectlOk(['apply', '-f', '-'], {
        stdin: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }),
      }),
    until: (what, command, pattern) => waitUntil(what, LONG_MS, async () => pattern.test(await ok(command))),
  };
}

export const container = (name: string, extra: object = {}) => ({
  name,
  image: BUSYBOX_IMAGE,
  command: ['sleep', 'infinity'],
  ...extra,
});

export const pod = (name: string, spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, ...metadata },
  spec: { terminationGracePeriodSeconds: 1, containers: [container('main')], ...spec },
});

export const deployment = (name: string, replicas: number, podSpec: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name },
  spec: {
    replicas,
    revisionHistoryLimit: 0,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { terminationGracePeriodSeconds: 1, containers: [container('main')], ...podSpec },
    },
  },
});

export const configMap = (name: string, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...metadata },
  data: { greeting: 'hello' },
});

export const secret = (name: string) => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name },
  stringData: { key: 'x' },
});

/** Of pods that are to end by themselves: the other node is lost meanwhile. */
export const STAYS = { nodeSelector: { 'kubernetes.io/hostname': 'node-0' } };

/** A pod that reads `name`, a ConfigMap and a Secret, both ways. */
export const readerSpec = (name: string) => ({
  volumes: [
    { name: 'settings', configMap: { name } },
    { name: 'keys', secret: { secretName: name } },
  ],
  containers: [
    container('main', {
      envFrom: [{ configMapRef: { name } }, { secretRef: { name } }],
      volumeMounts: [
        { name: 'settings', mountPath: '/settings' },
        { name: 'keys', mountPath: '/keys' },
      ],
    }),
  ],
});
