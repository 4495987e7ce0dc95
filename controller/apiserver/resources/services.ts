import { dns1035Label } from '#api/meta/names.ts';
import type { Service } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition, SubresourceDefinition } from '../registry/resource-definition.ts';
import { ClusterIpAllocator } from './allocation/cluster-ips.ts';
import { createNodePorts } from './allocation/node-ports.ts';
import type { PortRange } from './allocation/port-range.ts';
import { allocateForService, releaseService, type ServiceAllocators } from './service/allocate.ts';
import { alignClusterIps, applyServiceDefaults, prepareServiceUpdate } from './service/defaults.ts';
import { serviceColumns, serviceRow } from './service/printer.ts';
import { repairClusterIps, storedNodePorts } from './service/repair.ts';
import { validateService, validateServiceUpdate } from './service/validation.ts';

export interface ServiceOptions {
  /** What needs a way to pods (proxy). */
  readonly subresources: readonly SubresourceDefinition[];
  /** One range per family, comma-separated. */
  readonly serviceCidr: string;
  readonly nodePortRange: PortRange;
  readonly nowMs: () => number;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly newUid: () => string;
  /** A release that failed after its Service was deleted; the address stays taken until the next start repairs it. */
  readonly onReleaseError: (err: unknown) => void;
}

function createAllocators(options: ServiceOptions): ServiceAllocators {
  const clusterIps = new ClusterIpAllocator(options);
  const nodePorts = createNodePorts({ ...options, range: options.nodePortRange, held: storedNodePorts });
  let prepared: Promise<void> | undefined;
  const prepare: ServiceAllocators['ready'] = async (store) => {
    await nodePorts.adopt(store);
    await repairClusterIps(store, clusterIps, options.nowMs());
  };
  return {
    clusterIps,
    nodePorts,
    ready(store) {
      prepared ??= prepare(store).catch((err: unknown) => {
        // A failed repair is tried again by the next request instead of being remembered for ever.
        prepared = undefined;
        throw err;
      });
      return prepared;
    },
  };
}

export function services(options: ServiceOptions): ResourceDefinition {
  const allocators = createAllocators(options);
  return defineResource<Service>({
    group: '',
    version: 'v1',
    resource: 'services',
    kind: 'Service',
    namespaced: true,
    shortNames: ['svc'],
    categories: ['all'],
    storagePrefix: '/registry/services/specs',
    hasStatus: true,
    allowCreateOnUpdate: true,
    subresources: options.subresources,
    validateName: dns1035Label,
    applyDefaults: applyServiceDefaults,
    prepareForCreate(service) {
      service.status = { loadBalancer: {} };
      if (service.spec !== undefined) alignClusterIps(service.spec, undefined);
    },
    prepareForUpdate: prepareServiceUpdate,
    validate: validateService,
    validateUpdate: validateServiceUpdate,
    selectableFields: (service) => ({
      'spec.clusterIP': service.spec?.clusterIP ?? '',
      'spec.type': service.spec?.type ?? '',
    }),
    columns: serviceColumns,
    tableRow: serviceRow,
    allocate: (service, old, store, context) => allocateForService(allocators, service, old, { store, context }),
    afterDelete(service, store) {
      releaseService(allocators, store, service).catch(options.onReleaseError);
    },
  });
}
