import { deepEqual } from '#api/object/deep-equal.ts';
import type { TypeDef } from '#api/schema/type-table.ts';
import { toTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { StoredObject, Watcher } from '../../store/store.ts';
import { isNoOp, toNewValue } from '../registry/encode-object.ts';
import { copyObject } from '../registry/object-meta.ts';
import type { RegistryServices } from '../registry/registry-services.ts';
import { storageKey } from '../registry/resource-catalog.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { computeCrdStatus } from './crd-status.ts';
import { type CustomDefinitionOptions, type CustomDefinitions, createCustomDefinitions } from './custom-definition.ts';
import { CLEANUP_FINALIZER, type CustomResourceDefinition, withCondition } from './custom-resource-definition.ts';
import { isServed } from './customresourcedefinitions.ts';
import { deleteInstances } from './instance-cleanup.ts';

/** A sync that failed is tried again after this, doubled each time up to the longest. */
const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 60_000;

export interface CustomResourcesOptions {
  readonly services: RegistryServices;
  /** The kind of the definitions themselves. */
  readonly definition: ResourceDefinition;
  readonly objectMeta: TypeDef;
  /** Calls conversion webhooks. */
  readonly webhookClient: CustomDefinitionOptions['webhookClient'];
  readonly log: Logger;
}

/** What is served for one CustomResourceDefinition. */
interface Installed {
  readonly crd: CustomResourceDefinition;
  readonly definitions: CustomDefinitions;
  readonly retire: AbortController;
  readonly isServed: boolean;
}

/**
 * Keeps the catalog as the CustomResourceDefinitions in the store want it, and their status as it is. Kinds are served from the moment at
 * which their definition can be seen to be established; a definition that is deleted takes its objects along.
 */
export class CustomResources {
  readonly #options: CustomResourcesOptions;
  readonly #prefix: string;
  readonly #installed = new Map<string, Installed>();
  readonly #waiting = new Set<string>();
  readonly #retries = new Map<string, { readonly delayMs: number; readonly cancel: () => void }>();
  readonly #cleanups = new Map<string, Watcher>();
  #watcher: Watcher | undefined;
  #isRunning = false;
  #isStopped = false;

  constructor(options: CustomResourcesOptions) {
    this.#options = options;
    this.#prefix = `${options.definition.storagePrefix}/`;
  }

  /** Serves what the store holds; synchronous, so that no request comes before. */
  start(): void {
    const { store } = this.#options.services;
    const snapshot = store.snapshot();
    const gone = new Map([...this.#installed].map(([name, { crd }]) => [name, crd]));
    for (const stored of snapshot.range(this.#prefix)) {
      this.#onChanged(stored);
      gone.delete((stored.object() as CustomResourceDefinition).metadata.name ?? '');
    }
    for (const crd of gone.values()) this.#onDeleted(crd);
    this.#watcher = store.watch({
      prefix: this.#prefix,
      fromRevision: snapshot.revision,
      onEvent: ({ type, object }) => {
        if (type === 'DELETED') this.#onDeleted(object.object() as CustomResourceDefinition);
        else this.#onChanged(object);
      },
      onClose: (reason) => {
        // A watch in the same process does not fall behind; should it all the same, everything is looked at anew.
        if (reason === 'compacted' && !this.#isStopped) this.start();
      },
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#watcher?.stop();
    for (const { cancel } of this.#retries.values()) cancel();
    for (const watcher of this.#cleanups.values()) watcher.stop();
  }

  #onChanged(stored: StoredObject): void {
    const crd = stored.object() as CustomResourceDefinition;
    this.#install(crd, isServed(crd));
    this.#enqueue(crd.metadata.name ?? '');
  }

  #onDeleted(crd: CustomResourceDefinition): void {
    const name = crd.metadata.name ?? '';
    const installed = this.#installed.get(name);
    this.#options.services.catalog.replace(name, []);
    this.#installed.delete(name);
    installed?.retire.abort();
    this.#stopCleanup(name);
    // Its names are free now.
    for (const [other, { crd: rival }] of this.#installed) {
      if (rival.spec.group === crd.spec.group) this.#enqueue(other);
    }
  }

  /** Makes the definitions anew where anything that they come from changed. */
  #install(crd: CustomResourceDefinition, serve: boolean): void {
    const name = crd.metadata.name ?? '';
    const former = this.#installed.get(name);
    if (former !== undefined && former.isServed === serve && isAlike(former.crd, crd)) return;
    const { services, objectMeta, webhookClient, log } = this.#options;
    // That the kind begins to go is nothing that its watches have to end for: they are to tell of its objects' end.
    const continues = former !== undefined && former.isServed === serve && servesAlike(former.crd, crd);
    const retire = continues ? former.retire : new AbortController();
    try {
      const definitions = createCustomDefinitions({
        crd,
        objectMeta,
        webhookClient,
        newUid: services.newUid,
        retired: retire.signal,
      });
      this.#installed.set(name, { crd, definitions, retire, isServed: serve });
      services.catalog.replace(name, serve ? definitions.served : []);
      if (!continues) former?.retire.abort();
    } catch (err) {
      log.error('a custom resource definition cannot be served', { crd: name, err: describeError(err) });
    }
  }

  #enqueue(name: string): void {
    this.#waiting.add(name);
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    // One after the other: which of two definitions gets a name must be decided by one look at a time.
    void this.#work().finally(() => {
      this.#isRunning = false;
    });
  }

  async #work(): Promise<void> {
    for (;;) {
      const [name] = this.#waiting;
      if (name === undefined || this.#isStopped) return;
      this.#waiting.delete(name);
      try {
        await this.#sync(name);
        this.#forgetRetry(name);
      } catch (err) {
        if (this.#isStopped) return;
        this.#options.log.warn('a custom resource definition is not settled yet', {
          crd: name,
          err: describeError(err),
        });
        this.#retryLater(name);
      }
    }
  }

  #retryLater(name: string): void {
    const former = this.#retries.get(name);
    former?.cancel();
    const delayMs = Math.min(former === undefined ? FIRST_RETRY_MS : former.delayMs * 2, LONGEST_RETRY_MS);
    const cancel = this.#options.services.clock.after(delayMs, () => this.#enqueue(name));
    this.#retries.set(name, { delayMs, cancel });
  }

  #forgetRetry(name: string): void {
    this.#retries.get(name)?.cancel();
    this.#retries.delete(name);
  }

  /** One pass over one definition: its names and conditions, then its end where it has begun. */
  async #sync(name: string): Promise<void> {
    const { services, definition } = this.#options;
    const stored = services.store.snapshot().get(storageKey(definition, '', name));
    if (stored === undefined) return;
    const crd = stored.object() as CustomResourceDefinition;
    const wanted = this.#statusOf(crd);
    if (!deepEqual(wanted, crd.status)) {
      const next = { ...crd, status: wanted } as CustomResourceDefinition;
      // Served before anybody can see that it is.
      this.#install(next, isServed(next));
      await this.#write(name, (current) => ({ ...current, status: this.#statusOf(current) }));
      return;
    }
    if (crd.metadata.deletionTimestamp !== undefined && crd.metadata.finalizers?.includes(CLEANUP_FINALIZER)) {
      await this.#cleanUp(name, crd);
    }
  }

  #statusOf(crd: CustomResourceDefinition) {
    const { services } = this.#options;
    const others: CustomResourceDefinition[] = [];
    for (const stored of services.store.snapshot().range(this.#prefix)) {
      const other = stored.object() as CustomResourceDefinition;
      if (other.metadata.uid !== crd.metadata.uid) others.push(other);
    }
    return computeCrdStatus(crd, others, toTime(services.clock.now()));
  }

  /** Ends with the finalizer taken off, or with a watch that comes back here when the last object goes. */
  async #cleanUp(name: string, crd: CustomResourceDefinition): Promise<void> {
    const { services, log } = this.#options;
    const prefix = `/registry/${crd.spec.group}/${crd.spec.names.plural}/`;
    const storage = this.#installed.get(name)?.definitions.storage;
    this.#watchInstances(name, prefix);
    await this.#writeTerminating(name, 'True', 'InstanceDeletionInProgress', 'CustomResource deletion is in progress');
    if (storage !== undefined) await deleteInstances({ services, definition: storage, log });
    const left = services.store.snapshot().count(prefix);
    if (left > 0 && storage === undefined)
      throw new Error(`nobody knows how to delete the ${left} objects of the kind`);
    if (left > 0) return;
    await this.#writeTerminating(name, 'False', 'InstanceDeletionCompleted', 'removed all instances');
    this.#stopCleanup(name);
    await this.#write(name, (current) => withoutFinalizer(current, crd));
  }

  #watchInstances(name: string, prefix: string): void {
    if (this.#cleanups.has(name)) return;
    const { store } = this.#options.services;
    const watcher = store.watch({
      prefix,
      fromRevision: store.revision,
      onEvent: ({ type }) => {
        if (type === 'DELETED' && store.snapshot().count(prefix) === 0) this.#enqueue(name);
      },
      onClose: () => this.#cleanups.delete(name),
    });
    this.#cleanups.set(name, watcher);
  }

  #stopCleanup(name: string): void {
    this.#cleanups.get(name)?.stop();
    this.#cleanups.delete(name);
  }

  #writeTerminating(name: string, status: 'True' | 'False', reason: string, message: string): Promise<void> {
    const nowTime = toTime(this.#options.services.clock.now());
    return this.#write(name, (current) => {
      const conditions = withCondition(
        current.status?.conditions ?? [],
        { type: 'Terminating', status, reason, message },
        nowTime,
      );
      return { ...current, status: { ...current.status, conditions } };
    });
  }

  /** Changes a definition as the server itself: no admission, no managedFields. The write that leaves nothing to hold it removes it. */
  async #write(name: string, change: (crd: CustomResourceDefinition) => CustomResourceDefinition): Promise<void> {
    const { services, definition } = this.#options;
    await services.store.write(storageKey(definition, '', name), (current) => {
      if (current === undefined) return { kind: 'unchanged' };
      const crd = current.object() as CustomResourceDefinition;
      const next = change(crd);
      if (deepEqual(next, crd)) return { kind: 'unchanged' };
      const { deletionTimestamp, finalizers = [] } = next.metadata;
      if (deletionTimestamp !== undefined && finalizers.length === 0) return { kind: 'delete' };
      const object = services.format.canonicalize(copyObject(next), definition);
      const value = toNewValue(services, definition, object, 'durable');
      return isNoOp(value, current) ? { kind: 'unchanged' } : { kind: 'put', value };
    });
  }
}

function withoutFinalizer(crd: CustomResourceDefinition, meant: CustomResourceDefinition): CustomResourceDefinition {
  if (crd.metadata.uid !== meant.metadata.uid) return crd;
  const finalizers = (crd.metadata.finalizers ?? []).filter((finalizer) => finalizer !== CLEANUP_FINALIZER);
  return { ...crd, metadata: { ...crd.metadata, finalizers } };
}

/** True when nothing has to be made anew. */
function isAlike(a: CustomResourceDefinition, b: CustomResourceDefinition): boolean {
  const isGoing = ({ metadata }: CustomResourceDefinition) => metadata.deletionTimestamp !== undefined;
  return isGoing(a) === isGoing(b) && servesAlike(a, b);
}

/** True when the same would be served for both, apart from what a deletion takes away. */
function servesAlike(a: CustomResourceDefinition, b: CustomResourceDefinition): boolean {
  return (
    a.metadata.uid === b.metadata.uid &&
    deepEqual(a.spec, b.spec) &&
    deepEqual(a.status?.acceptedNames, b.status?.acceptedNames)
  );
}
