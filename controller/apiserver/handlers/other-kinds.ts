import type { ResourceInfo } from '#api/object/group-version.ts';
import { readStored } from '../registry/encode-object.ts';
import { copyObject } from '../registry/object-meta.ts';
import { storagePrefixOf } from '../registry/resource-catalog.ts';
import type { OtherKinds, ResourceDefinition } from '../registry/resource-definition.ts';
import { updateObject } from '../registry/update-object.ts';
import type { ApiServices } from './api-services.ts';
import { freshSnapshot } from './fresh-snapshot.ts';

/** Who the fields belong to that the server writes of itself. */
const OWN_MANAGER = 'kube-apiserver';

/** What a request on one kind may do with objects of another, built-in one: what it asks for was admitted. */
export function otherKinds(services: ApiServices): OtherKinds {
  return {
    async listOther(kind, namespace) {
      const definition = definitionOf(services, kind);
      const snapshot = await freshSnapshot(services.store, '');
      const stored = [...snapshot.range(storagePrefixOf(definition, namespace))];
      return stored.map((one) => readStored(definition, one));
    },
    async updateOther(context, kind, { namespace, name, as, subresource, dryRun = false, change }) {
      const definition = definitionOf(services, kind);
      const admitted = { ...services, admission: [] };
      const view = await updateObject(admitted, {
        context,
        definition,
        namespace,
        name,
        as,
        subresource,
        dryRun,
        manager: OWN_MANAGER,
        change: (current) => change(copyObject(current)),
      });
      return readStored(definition, view);
    },
  };
}

function definitionOf({ catalog }: ApiServices, { group, version, resource }: ResourceInfo): ResourceDefinition {
  const found = catalog.find(group, version, resource);
  if (found === undefined) throw new Error(`${resource}.${group} is not served`);
  return found;
}
