import { ApiError } from '#api/object/api-error.ts';
import { apiVersionOf, parseApiVersion } from '#api/object/group-version.ts';
import { isJsonObject } from '#api/object/json.ts';
import type { KubeObject, ObjectMeta } from '#api/object/kube-object.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { ObjectView } from '../registry/object-view.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { WebhookCallError, type WebhookClient } from '../webhooks/webhook-client.ts';
import { bringForward, type ConversionOptions } from './conversion.ts';
import type { CrdConversion } from './custom-resource-definition.ts';

/** Kubernetes' limit for one call, however many objects it brings. */
const TIMEOUT_MS = 30_000;
const REVIEW_VERSIONS: readonly string[] = ['v1', 'v1beta1'];

export interface Converter {
  readonly client: Pick<WebhookClient, 'post'>;
  readonly webhook: NonNullable<CrdConversion['webhook']>;
  readonly newUid: () => string;
}

type Conversion = NonNullable<ResourceDefinition['conversion']>;

/**
 * Between the stored form and one version of a kind, by a webhook. It is asked ahead of the synchronous steps (`prepare`), which then find
 * its answers here; they stay with the stored object, so that one answer serves every reader of that version.
 */
export function createWebhookConversion(options: ConversionOptions, converter: Converter): Conversion {
  const { info, format, storedAs, formats } = options;
  const wanted = apiVersionOf(info);
  const stored = apiVersionOf(storedAs);
  const read = new WeakMap<ObjectView, Promise<KubeObject> | KubeObject>();
  const written = new WeakMap<KubeObject, KubeObject>();
  const convertRead = async (views: readonly ObjectView[]): Promise<readonly KubeObject[]> => {
    const objects = views.map((view) => bringForward(view.object() as KubeObject, formats));
    const converted = await convertObjects(converter, objects, { apiVersion: wanted, kind: info.kind });
    for (const [index, object] of converted.entries()) if (object !== objects[index]) format.prune(object);
    return converted;
  };
  return {
    storedAs,
    prepare: {
      async read(views) {
        const fresh = views.filter((view) => !read.has(view));
        if (fresh.length > 0) {
          const asked = convertRead(fresh);
          for (const [index, view] of fresh.entries()) {
            const one = asked.then((objects) => objects[index]!);
            // Those who wait hear of it; what nobody waits for any more is no accident.
            one.catch(() => read.delete(view));
            read.set(view, one);
          }
        }
        for (const view of views) read.set(view, await read.get(view)!);
      },
      async write(object) {
        if (object.apiVersion === stored) return;
        const [converted] = await convertObjects(converter, [copyObject(object)], {
          apiVersion: stored,
          kind: info.kind,
        });
        storedAs.format.prune(converted!);
        written.set(object, converted!);
      },
    },
    fromStored(object, view) {
      const known = view === undefined ? undefined : read.get(view);
      if (known !== undefined && !(known instanceof Promise)) return known;
      if (object.apiVersion === wanted) return bringForward(object, formats);
      throw new Error(`an object of ${info.resource}.${info.group} was read before it was converted`);
    },
    toStored(object) {
      if (object.apiVersion === stored) return object;
      const known = written.get(object);
      if (known === undefined) {
        throw new Error(`an object of ${info.resource}.${info.group} was written before it was converted`);
      }
      return known;
    },
  };
}

interface Target {
  readonly apiVersion: string;
  readonly kind: string;
}

/** The objects in the wanted version, in their order; those that have it already are answered as they are. */
async function convertObjects(
  converter: Converter,
  objects: readonly KubeObject[],
  target: Target,
): Promise<readonly KubeObject[]> {
  const foreign = objects.filter(({ apiVersion }) => apiVersion !== target.apiVersion);
  if (foreign.length === 0) return objects;
  const subject = `conversion webhook for ${nameOf(foreign[0]!)}`;
  const answers = await askWebhook(converter, foreign, target, subject);
  if (answers.length !== foreign.length) {
    throw failure(`${subject} returned ${answers.length} objects, expected ${foreign.length}`);
  }
  const byObject = new Map(
    foreign.map((object, index) => [object, checkedAnswer(object, answers[index], { ...target, subject, index })]),
  );
  return objects.map((object) => byObject.get(object) ?? object);
}

const nameOf = ({ apiVersion, kind }: KubeObject) => `${apiVersion}, Kind=${kind}`;

function failure(message: string, cause?: unknown): ApiError {
  return new ApiError(500, 'InternalError', message, undefined, { cause });
}

async function askWebhook(
  { client, webhook, newUid }: Converter,
  objects: readonly KubeObject[],
  { apiVersion }: Target,
  subject: string,
): Promise<readonly unknown[]> {
  const version = webhook.conversionReviewVersions?.find((one) => REVIEW_VERSIONS.includes(one)) ?? 'v1';
  const uid = newUid();
  const body = {
    kind: 'ConversionReview',
    apiVersion: `apiextensions.k8s.io/${version}`,
    request: { uid, desiredAPIVersion: apiVersion, objects },
  };
  let review: Record<string, unknown>;
  try {
    review = await client.post({ clientConfig: webhook.clientConfig ?? {}, body, timeoutMs: TIMEOUT_MS });
  } catch (err) {
    if (!(err instanceof WebhookCallError)) throw err;
    throw failure(`${subject} failed: ${err.message}`, err);
  }
  const { response } = review;
  if (review.kind !== body.kind || review.apiVersion !== body.apiVersion) {
    const got = `${String(review.apiVersion)}, Kind=${String(review.kind)}`;
    throw failure(
      `${subject} failed: expected webhook response of ${body.apiVersion}, Kind=ConversionReview, got ${got}`,
    );
  }
  if (!isJsonObject(response)) throw failure(`${subject} failed: no response provided`);
  if (response.uid !== uid) {
    throw failure(
      `${subject} failed: expected response.uid=${JSON.stringify(uid)}, got ${JSON.stringify(response.uid)}`,
    );
  }
  const result = isJsonObject(response.result) ? response.result : {};
  if (result.status !== 'Success') {
    const why = typeof result.message === 'string' && result.message !== '' ? result.message : 'unknown error';
    throw failure(`${subject} failed: ${why}`);
  }
  return Array.isArray(response.convertedObjects) ? response.convertedObjects : [];
}

interface AnswerPlace extends Target {
  readonly subject: string;
  readonly index: number;
}

/** A webhook may change everything but who the object is; of its metadata, labels and annotations alone. */
function checkedAnswer(object: KubeObject, answer: unknown, place: AnswerPlace): KubeObject {
  const { subject, index, apiVersion, kind } = place;
  const refuse = (why: string) => failure(`${subject} returned invalid converted object at index ${index}: ${why}`);
  if (!isJsonObject(answer)) throw refuse('not an object');
  if (answer.apiVersion !== apiVersion) {
    const received = parseApiVersion(String(answer.apiVersion));
    throw refuse(`invalid groupVersion (expected ${apiVersion}, received ${apiVersionOf(received)})`);
  }
  if (answer.kind !== kind) throw refuse(`invalid kind (expected ${kind}, received ${String(answer.kind)})`);
  if (!isJsonObject(answer.metadata)) throw refuse('missing metadata');
  const { labels, annotations, uid, name, namespace } = answer.metadata as ObjectMeta;
  for (const [field, value, own] of [
    ['metadata.uid', uid, object.metadata.uid],
    ['metadata.name', name, object.metadata.name],
    ['metadata.namespace', namespace, object.metadata.namespace],
  ] as const) {
    if (value !== own && !(value === undefined && own === undefined)) {
      throw refuse(`must have the same ${field} (expected ${String(own)}, received ${String(value)})`);
    }
  }
  const metadata: ObjectMeta = { ...object.metadata };
  delete metadata.labels;
  delete metadata.annotations;
  if (labels !== undefined && labels !== null) metadata.labels = labels;
  if (annotations !== undefined && annotations !== null) metadata.annotations = annotations;
  return { ...answer, apiVersion, kind, metadata };
}
