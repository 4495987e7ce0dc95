import type { Store } from '../../store/store.ts';
import type { AdmissionPlugin } from '../admission/admission-plugin.ts';
import { mutatingWebhooks } from './mutating-webhooks.ts';
import { validatingWebhooks } from './validating-webhooks.ts';
import { WebhookConfigurations } from './webhook-configurations.ts';
import type { WebhookDeps } from './webhook-dispatch.ts';
import { WebhookMetrics } from './webhook-metrics.ts';

export interface AdmissionWebhooks {
  /** Belongs behind all other mutating plug-ins. */
  readonly mutating: AdmissionPlugin;
  /** Belongs behind all other validating plug-ins but quota. */
  readonly validating: AdmissionPlugin;
  /** Text for `/metrics`. */
  metrics(): string;
  /** Ends the watches of the configurations. */
  stop(): void;
}

export type AdmissionWebhookDeps = Omit<WebhookDeps, 'metrics' | 'store'> & { readonly store: Store };

/** Both kinds of admission webhooks, as their configurations in the store say at each moment. */
export function createAdmissionWebhooks(given: AdmissionWebhookDeps): AdmissionWebhooks {
  const metrics = new WebhookMetrics();
  const deps: WebhookDeps = { ...given, metrics };
  const mutating = new WebhookConfigurations(given.store, '/registry/mutatingwebhookconfigurations/');
  const validating = new WebhookConfigurations(given.store, '/registry/validatingwebhookconfigurations/');
  return {
    mutating: mutatingWebhooks(deps, mutating),
    validating: validatingWebhooks(deps, validating),
    metrics: () => metrics.render(),
    stop() {
      mutating.stop();
      validating.stop();
    },
  };
}
