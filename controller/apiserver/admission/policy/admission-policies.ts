import type { AdmissionPlugin } from '../admission-plugin.ts';
import { mutatingPolicies } from './mutating-policies.ts';
import { type ValidatingPolicyDeps, validatingPolicies } from './validating-policies.ts';

export interface AdmissionPolicies {
  /** Belongs before the mutating webhooks. */
  readonly mutating: AdmissionPlugin;
  /** Belongs before the validating webhooks. */
  readonly validating: AdmissionPlugin;
  /** Ends the watches of policies and bindings. */
  stop(): void;
}

/** Both kinds of admission policies, as they and their bindings stand in the store at each moment. */
export function createAdmissionPolicies(deps: ValidatingPolicyDeps): AdmissionPolicies {
  const mutating = mutatingPolicies(deps);
  const validating = validatingPolicies(deps);
  return {
    mutating: mutating.plugin,
    validating: validating.plugin,
    stop() {
      mutating.stop();
      validating.stop();
    },
  };
}
