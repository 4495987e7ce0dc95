import { Expectations } from '#api/client/expectations.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type EndpointSlice, resources } from '#api/object/kinds.ts';
import type { ObjectKey, ObjectMeta } from '#api/object/kube-object.ts';
import type { ControllerContext } from '../controller-context.ts';
import type { SliceContent, SlicePlan } from './pack-slices.ts';

/** Writes plans of slices. They have generated names: creating them from a cache that lags behind would double them. */
export class SliceWriter {
  readonly #context: ControllerContext;
  readonly #expectations: Expectations;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#expectations = new Expectations(context.clock);
  }

  /** False while the cache does not show what was created for this owner. */
  isCacheCurrent(owner: ObjectKey): boolean {
    return this.#expectations.isSatisfied(owner);
  }

  /** The cache shows a slice of this owner. */
  onCreated(owner: ObjectKey): void {
    this.#expectations.onCreated(owner);
  }

  forget(owner: ObjectKey): void {
    this.#expectations.forget(owner);
  }

  /** New slices first: an endpoint that moves is rather twice in the cluster than nowhere. */
  async apply(owner: ObjectKey, plan: SlicePlan, metadata: ObjectMeta): Promise<void> {
    const client = this.#context.client.resource<EndpointSlice>(resources.endpointSlices);
    if (plan.create.length > 0) await this.#create(owner, plan.create, metadata);
    for (const slice of plan.update) await client.update(slice);
    for (const { metadata: doomed } of plan.delete) {
      try {
        await client.delete({ name: doomed.name, namespace: doomed.namespace });
      } catch (err) {
        if (!isNotFound(err)) throw err;
      }
    }
  }

  async #create(owner: ObjectKey, contents: readonly SliceContent[], metadata: ObjectMeta): Promise<void> {
    this.#expectations.expect(owner, contents.length);
    for (const [index, { addressType, ports, endpoints }] of contents.entries()) {
      try {
        await this.#context.client
          .resource<EndpointSlice>(resources.endpointSlices)
          .create({ metadata, addressType, ports: [...ports], endpoints: [...endpoints] });
      } catch (err) {
        for (let missing = index; missing < contents.length; missing++) this.#expectations.onCreated(owner);
        throw err;
      }
    }
  }
}
