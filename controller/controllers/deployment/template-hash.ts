import { isDeepStrictEqual } from 'node:util';
import { isJsonObject } from '#api/object/json.ts';
import type { Deployment, ReplicaSet } from '#api/object/kinds.ts';

export const POD_TEMPLATE_HASH = 'pod-template-hash';

type PodTemplate = NonNullable<Deployment['spec']>['template'];

/** No vowels, no digits that look like letters: no words come out by accident (Kubernetes' `rand.SafeEncodeString`). */
const SAFE_ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

export function safeEncode(text: string): string {
  return [...text].map((char) => SAFE_ALPHABET[char.charCodeAt(0) % SAFE_ALPHABET.length]).join('');
}

/** 32-bit FNV-1a over UTF-8, as an unsigned number. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** JSON with sorted keys: one text for one value, whatever order a client wrote it in. */
function stableJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isJsonObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

/** Names the ReplicaSet of a template. `collisionCount` changes it when a foreign ReplicaSet has the name already. */
export function computeTemplateHash(template: PodTemplate, collisionCount: number | undefined): string {
  const text = stableJson(template) + (collisionCount === undefined ? '' : String(collisionCount));
  return safeEncode(String(fnv1a(text)));
}

function withoutHash(template: PodTemplate | undefined): unknown {
  const { metadata = {}, spec } = template ?? {};
  const { [POD_TEMPLATE_HASH]: _, ...labels } = metadata.labels ?? {};
  const { creationTimestamp: __, ...rest } = metadata;
  return JSON.parse(JSON.stringify({ metadata: { ...rest, labels }, spec }));
}

/** The label that tells generations apart is no part of the template that the user wrote. */
export function isSameTemplate(a: PodTemplate | undefined, b: PodTemplate | undefined): boolean {
  return isDeepStrictEqual(withoutHash(a), withoutHash(b));
}

const createdMs = (replicaSet: ReplicaSet) => Date.parse(replicaSet.metadata.creationTimestamp);

/** Oldest first; ties by name. */
export function compareCreation(a: ReplicaSet, b: ReplicaSet): number {
  return createdMs(a) - createdMs(b) || (a.metadata.name < b.metadata.name ? -1 : 1);
}

/** The oldest set with the deployment's template, so that every pass picks the same one. */
export function findNewReplicaSet(deployment: Deployment, replicaSets: readonly ReplicaSet[]): ReplicaSet | undefined {
  return [...replicaSets]
    .sort(compareCreation)
    .find((replicaSet) => isSameTemplate(replicaSet.spec?.template, deployment.spec?.template));
}
