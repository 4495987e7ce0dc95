import { describeLostInteger, findLostIntegers, holdsHugeNumber } from '#api/codec/lost-integers.ts';
import { internalError } from '#api/object/api-error.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import { applyJsonPatch } from '#api/patch/json-patch.ts';
import { type AdmissionPlugin, type AdmissionRequest, reinvocationOf } from '../admission/admission-plugin.ts';
import type { ReviewVerdict } from './admission-review.ts';
import type { Candidate, WebhookConfigurations } from './webhook-configurations.ts';
import { callWebhook, type WebhookDeps, wantsRequest, withPolicy } from './webhook-dispatch.ts';
import { awaitPutChangedObject, awaitSeenObjects, type SeenObjects } from './webhook-objects.ts';

const NAME = 'MutatingAdmissionWebhook';

/** What the first round leaves behind for the second. */
interface Memory {
  /** Webhooks that may be asked again, and were asked before the last change. */
  readonly toReinvoke: Set<string>;
  /** The same, with nothing changed since. */
  readonly asked: Set<string>;
  /** The object as the last webhook left it: what differs in the second round was changed by others. */
  output: string;
}

/** Asks the webhooks of all MutatingWebhookConfigurations one after the other, each on what those before it made of the object. */
export function mutatingWebhooks(deps: WebhookDeps, configurations: WebhookConfigurations): AdmissionPlugin {
  return {
    name: NAME,
    isAsynchronous: true,
    handles: (target) => configurations.candidates(target).length > 0,
    async admit(request) {
      const round = startRound(request);
      for (const [index, candidate] of configurations.candidates(request).entries()) {
        const { webhook } = candidate;
        if (!(await wantsRequest(deps, 'admit', candidate, request))) continue;
        // Whoever was not asked in the first round is not asked in the second for the first time.
        if (round.isSecond && !round.memory.toReinvoke.has(webhook.uid)) continue;
        const changed = await askWebhook(deps, candidate, request, { round: round.isSecond ? 1 : 0, index });
        if (changed) {
          requireReinvocation(round.memory);
          reinvocationOf(request).isWanted = true;
        }
        if (webhook.isReinvocable) round.memory.asked.add(webhook.uid);
      }
      round.memory.output = JSON.stringify(request.object ?? null);
    },
  };
}

function startRound(request: AdmissionRequest): { readonly memory: Memory; readonly isSecond: boolean } {
  const reinvocation = reinvocationOf(request);
  const known = reinvocation.memory.get(NAME) as Memory | undefined;
  const memory = known ?? { toReinvoke: new Set<string>(), asked: new Set<string>(), output: '' };
  reinvocation.memory.set(NAME, memory);
  const isSecond = reinvocation.isUnderWay;
  if (isSecond && memory.output !== JSON.stringify(request.object ?? null)) requireReinvocation(memory);
  return { memory, isSecond };
}

function requireReinvocation({ toReinvoke, asked }: Memory): void {
  for (const uid of asked) toReinvoke.add(uid);
  asked.clear();
}

interface Place {
  readonly round: number;
  /** Among the webhooks whose rules mean the request. */
  readonly index: number;
}

/** Answers whether the object is another one now. */
async function askWebhook(
  deps: WebhookDeps,
  candidate: Candidate,
  request: AdmissionRequest,
  { round, index }: Place,
): Promise<boolean> {
  const { webhook, as } = candidate;
  const { auditAnnotations } = request.context;
  const place = `round_${round}_index_${index}`;
  const objects = await awaitSeenObjects(request, as);
  const call = async () => {
    const verdict = await callWebhook(deps, 'admit', candidate, { request, objects });
    const isChanged = await applyVerdict(candidate, request, { verdict, objects });
    const names = { configuration: webhook.configuration, webhook: webhook.name };
    auditAnnotations[`mutation.webhook.admission.k8s.io/${place}`] = JSON.stringify({ ...names, mutated: isChanged });
    return isChanged;
  };
  const changed = await withPolicy(deps, 'admit', { webhook, request }, call);
  if (changed === undefined) auditAnnotations[`failed-open.mutation.webhook.admission.k8s.io/${place}`] = webhook.name;
  return changed ?? false;
}

async function applyVerdict(
  { webhook, as }: Candidate,
  request: AdmissionRequest,
  { verdict, objects }: { readonly verdict: ReviewVerdict; readonly objects: SeenObjects },
): Promise<boolean> {
  if (verdict.patch === undefined) return false;
  try {
    const text = Buffer.from(verdict.patch, 'base64').toString('utf8');
    const patch: unknown = JSON.parse(text);
    const [lost] =
      request.resource.format !== undefined && holdsHugeNumber(patch) ? findLostIntegers(text, 'json') : [];
    if (lost !== undefined) throw new Error(describeLostInteger(lost));
    if (Array.isArray(patch) && patch.length === 0) return false;
    if (objects.object === undefined) {
      const name = JSON.stringify(webhook.name);
      throw new Error(
        `admission webhook ${name} attempted to modify the object, which is not supported for this operation`,
      );
    }
    const patched = applyJsonPatch(objects.object, patch);
    if (deepEqual(patched, objects.object)) return false;
    await awaitPutChangedObject(request, as, patched);
  } catch (err) {
    throw internalError(err);
  }
  return !deepEqual((await awaitSeenObjects(request, as)).object, objects.object);
}
