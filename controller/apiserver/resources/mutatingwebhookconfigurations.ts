import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { defineWebhooks } from './admission/define-webhooks.ts';
import type { ExpressionCheck } from './admission/policy-expressions.ts';

export function mutatingWebhookConfigurations(checkExpressions: ExpressionCheck | undefined): ResourceDefinition {
  return defineWebhooks({
    resource: 'mutatingwebhookconfigurations',
    kind: 'MutatingWebhookConfiguration',
    isMutating: true,
    checkExpressions,
  });
}
