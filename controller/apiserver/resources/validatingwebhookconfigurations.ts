import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { defineWebhooks } from './admission/define-webhooks.ts';
import type { ExpressionCheck } from './admission/policy-expressions.ts';

export function validatingWebhookConfigurations(checkExpressions: ExpressionCheck | undefined): ResourceDefinition {
  return defineWebhooks({
    resource: 'validatingwebhookconfigurations',
    kind: 'ValidatingWebhookConfiguration',
    isMutating: false,
    checkExpressions,
  });
}
