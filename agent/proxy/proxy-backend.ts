import type { PlanChange } from './change-tracker.ts';
import type { ServicePortPlan } from './service-port-plan.ts';

/**
 * Brings plans into the kernel. After a thrown error the kernel may hold anything in between two plans that both work; the proxier then
 * calls `fullSync`.
 */
export interface ProxyBackend {
  /** Makes the kernel hold exactly these plans, whatever was there before of ours. */
  fullSync(plans: readonly ServicePortPlan[]): Promise<void>;
  /** Brings only what changed; valid after a successful sync. */
  partialSync(changes: readonly PlanChange[]): Promise<void>;
  /** True when the kernel still holds the rules that tie our chains in; false after somebody flushed them. */
  isIntact(): Promise<boolean>;
  /** Removes everything of ours. */
  cleanUp(): Promise<void>;
}
