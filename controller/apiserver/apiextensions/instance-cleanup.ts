import { isNotFound } from '#api/object/api-error.ts';
import type { Logger } from '#base/logger.ts';
import { deleteObject } from '../registry/delete-object.ts';
import { metadataOf } from '../registry/encode-object.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { createInternalContext } from './internal-context.ts';

/** Deletes under way at once. */
const WIDTH = 32;

export interface CleanupOptions {
  readonly services: RegistryServices;
  readonly definition: ResourceDefinition;
  readonly log: Logger;
}

/** Deletes every object of a kind whose definition goes; those that finalizers hold are left, and marked. */
export async function deleteInstances({ services, definition, log }: CleanupOptions): Promise<void> {
  // What goes with its kind is nobody's to admit: plug-ins cannot keep it.
  const unasked: RegistryServices = { ...services, admission: [] };
  const context = createInternalContext(services.clock, log);
  const prefix = storagePrefixOf(definition, '');
  const waiting = [...services.store.snapshot().range(prefix)];
  const worker = async () => {
    for (let one = waiting.shift(); one !== undefined; one = waiting.shift()) {
      const { namespace = '', name = '' } = metadataOf(one);
      try {
        await deleteObject(unasked, { context, definition, namespace, name, wish: {}, dryRun: false });
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(WIDTH, waiting.length) }, worker));
}
