import type { AdmissionPlugin, AdmissionRequest } from '../admission/admission-plugin.ts';
import type { Candidate, WebhookConfigurations } from './webhook-configurations.ts';
import { callWebhook, type WebhookDeps, wantsRequest, withPolicy } from './webhook-dispatch.ts';
import { awaitSeenObjects } from './webhook-objects.ts';

/** Asks the webhooks of all ValidatingWebhookConfigurations at once; the first refusal, in their order, is the answer. */
export function validatingWebhooks(deps: WebhookDeps, configurations: WebhookConfigurations): AdmissionPlugin {
  return {
    name: 'ValidatingAdmissionWebhook',
    isAsynchronous: true,
    handles: (target) => configurations.candidates(target).length > 0,
    async validate(request) {
      const wanted: Candidate[] = [];
      for (const candidate of configurations.candidates(request)) {
        if (await wantsRequest(deps, 'validating', candidate, request)) wanted.push(candidate);
      }
      const answers = await Promise.allSettled(
        wanted.map((candidate, index) => askWebhook(deps, candidate, request, index)),
      );
      for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
    },
  };
}

async function askWebhook(
  deps: WebhookDeps,
  candidate: Candidate,
  request: AdmissionRequest,
  index: number,
): Promise<void> {
  const { webhook, as } = candidate;
  const objects = await awaitSeenObjects(request, as);
  const verdict = await withPolicy(deps, 'validating', { webhook, request }, () =>
    callWebhook(deps, 'validating', candidate, { request, objects }),
  );
  if (verdict !== undefined) return;
  const key = `failed-open.validating.webhook.admission.k8s.io/round_0_index_${index}`;
  request.context.auditAnnotations[key] = webhook.name;
}
