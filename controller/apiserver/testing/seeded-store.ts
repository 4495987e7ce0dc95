import type { KubeObject } from '#api/object/kube-object.ts';
import { createMemoryStore } from '#controller/store/memory-store.ts';
import type { NewValue, Store } from '#controller/store/store.ts';

function newValue(object: KubeObject): NewValue {
  const spec = object.spec as { nodeName?: string } | undefined;
  return {
    bytes: new TextEncoder().encode(JSON.stringify(object)),
    labels: object.metadata.labels ?? {},
    fields: {
      'metadata.name': object.metadata.name ?? '',
      'metadata.namespace': object.metadata.namespace ?? '',
      'spec.nodeName': spec?.nodeName ?? '',
    },
    durability: 'durable',
  };
}

/** A store in memory for tests of what looks across objects. Keys are the store's own, `/registry/pods/<namespace>/<name>`. */
export class SeededStore {
  readonly store: Store = createMemoryStore();

  async put(key: string, object: Omit<KubeObject, 'apiVersion' | 'kind'>): Promise<void> {
    const complete: KubeObject = { apiVersion: 'v1', kind: 'Test', ...object } as KubeObject;
    await this.store.write(key, () => ({ kind: 'put', value: newValue(complete) }));
  }

  async remove(key: string): Promise<void> {
    await this.store.write(key, () => ({ kind: 'delete' }));
  }
}
