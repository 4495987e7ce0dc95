import { describe, expect, test } from 'vitest';
import type { ConfigMap, Secret, Service } from '#api/object/kinds.ts';
import { container, podWith } from '../testing/pod-fixtures.ts';
import { computeEnvironment, type EnvironmentInput } from './environment.ts';
import { expandReferences } from './expansion.ts';

const meta = { name: 'x', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
const service = (name: string, namespace: string, clusterIP: string, port: number, portName?: string): Service => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { ...meta, name, namespace },
  spec: { clusterIP, ports: [{ port, protocol: 'TCP', ...(portName === undefined ? {} : { name: portName }) }] },
});
const map: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: meta, data: { colour: 'green', 'a=b': 'no' } };
const secret: Secret = { apiVersion: 'v1', kind: 'Secret', metadata: meta, data: { key: 'aHVzaA==' } };

function environment(more: Partial<EnvironmentInput>): Record<string, string> {
  return Object.fromEntries(
    computeEnvironment({
      pod: podWith(),
      container: container('app'),
      sources: { configMaps: new Map([['m', map]]), secrets: new Map([['s', secret]]) },
      services: [],
      addresses: { podIps: ['10.244.0.2', 'fd00::2'], hostIps: ['192.168.1.10'] },
      allocatable: { cpu: 4, memory: 8 * 2 ** 30, 'ephemeral-storage': 0 },
      ...more,
    }),
  );
}

describe('expandReferences', () => {
  const variables = new Map([['A', '1']]);
  test.each([
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$(B)', '$(B)'],
    ['$$(A)', '$(A)'],
    ['$$$(A)', '$1'],
    ['$A $', '$A $'],
    ['$(A', '$(A'],
  ])('turns %s into %s', (text, expected) => {
    expect(expandReferences(text, variables)).toBe(expected);
  });
});

describe('computeEnvironment', () => {
  test('reads every kind of source', () => {
    const env = [
      { name: 'PLAIN', value: 'a' },
      { name: 'POD', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } },
      { name: 'LABEL', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
      { name: 'IPS', valueFrom: { fieldRef: { fieldPath: 'status.podIPs' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
      { name: 'MEMORY', valueFrom: { resourceFieldRef: { resource: 'limits.memory', divisor: '1Mi' } } },
      { name: 'COLOUR', valueFrom: { configMapKeyRef: { name: 'm', key: 'colour' } } },
      { name: 'KEY', valueFrom: { secretKeyRef: { name: 's', key: 'key' } } },
      { name: 'GONE', valueFrom: { secretKeyRef: { name: 'none', key: 'key', optional: true } } },
    ];
    const resources = { limits: { cpu: '1500m' } };
    const result = environment({
      pod: podWith({}, { labels: { app: 'web' } }),
      container: container('app', { env, resources }),
    });
    expect(result).toEqual({
      PLAIN: 'a',
      POD: 'web',
      LABEL: 'web',
      IPS: '10.244.0.2,fd00::2',
      CPU: '1500',
      MEMORY: '8192',
      COLOUR: 'green',
      KEY: 'hush',
    });
  });

  test('takes whole objects with a prefix and leaves out names that no process could have', () => {
    const envFrom = [{ prefix: 'P_', configMapRef: { name: 'm' } }, { secretRef: { name: 's' } }];
    expect(environment({ container: container('app', { envFrom }) })).toEqual({ P_colour: 'green', key: 'hush' });
  });

  test('expands what came before, Service variables included, and lets the spec win over them', () => {
    const env = [
      { name: 'A', value: '1' },
      { name: 'B', value: '$(A)-$(DB_SERVICE_HOST)-$(LATER)' },
      { name: 'LATER', value: '2' },
      { name: 'DB_SERVICE_PORT', value: 'mine' },
    ];
    const services = [service('db', 'default', '10.96.0.5', 5432)];
    const result = environment({ container: container('app', { env }), services });
    expect(result).toMatchObject({
      B: '1-10.96.0.5-$(LATER)',
      DB_SERVICE_PORT: 'mine',
      DB_PORT: 'tcp://10.96.0.5:5432',
    });
  });

  test('shows Services of the own namespace, and always that of the API server', () => {
    const services = [
      service('kubernetes', 'default', '10.96.0.1', 443, 'https'),
      service('db', 'shop', '10.96.0.5', 5432),
      service('other', 'else', '10.96.0.6', 80),
      service('headless', 'shop', 'None', 80),
    ];
    const pod = podWith({}, { namespace: 'shop' });
    const names = (enableServiceLinks: boolean) =>
      Object.keys(environment({ pod: podWith({ enableServiceLinks }, pod.metadata), services })).filter((name) =>
        name.endsWith('_SERVICE_HOST'),
      );
    expect(names(true).sort()).toEqual(['DB_SERVICE_HOST', 'KUBERNETES_SERVICE_HOST']);
    expect(names(false)).toEqual(['KUBERNETES_SERVICE_HOST']);
    expect(environment({ pod, services }).KUBERNETES_SERVICE_PORT_HTTPS).toBe('443');
  });

  test.each([
    ['a ConfigMap', { configMapKeyRef: { name: 'none', key: 'k' } }, 'configmap "none" not found'],
    ['a Secret', { secretKeyRef: { name: 'none', key: 'k' } }, 'secret "none" not found'],
    ['a key', { configMapKeyRef: { name: 'm', key: 'k' } }, "couldn't find key k in ConfigMap default/m"],
  ])('refuses when %s is missing', (_what, valueFrom, message) => {
    expect(() => environment({ container: container('app', { env: [{ name: 'A', valueFrom }] }) })).toThrow(message);
  });
});
