import type { Clock } from '#base/clock.ts';
import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin } from '../admission/admission-plugin.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { ObjectFormat } from './object-format.ts';
import type { ObjectView } from './object-view.ts';
import type { ResourceCatalog } from './resource-catalog.ts';
import type { StrategyContext } from './resource-definition.ts';

/** What the generic write and read paths stand on. */
export interface RegistryServices {
  readonly store: Store;
  readonly catalog: ResourceCatalog;
  readonly format: ObjectFormat;
  /** In table order: all mutating parts run before all validating ones. */
  readonly admission: readonly AdmissionPlugin[];
  readonly clock: Clock;
  readonly newUid: () => string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

export type { ObjectView };

export function strategyContext(services: RegistryServices, request: RequestContext, dryRun: boolean): StrategyContext {
  return { nowMs: services.clock.now(), snapshot: services.store.snapshot(), request, dryRun };
}
