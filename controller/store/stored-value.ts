import { withoutResourceVersion, withResourceVersion } from '#api/codec/resource-version.ts';
import type { StoredObject } from './store.ts';

/** What selectors see of an object. */
export interface Classification {
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
}

/** Finds labels and selectable fields of a decoded object; used for objects that were loaded rather than written. Pure. */
export type Classifier = (key: string, object: unknown) => Classification;

/** What the values of one store have in common. */
export interface ValueContext {
  readonly classify: Classifier;
  /** Freezes decoded objects all the way down, so that a test finds whoever changes a shared one. */
  readonly freezeObjects: boolean;
}

const decoder = new TextDecoder();

/**
 * A stored object. The decoded form is kept weakly: it costs five to ten times its bytes, and hot read paths never ask for it.
 * What a loaded object shows is made at first use, so that a start with 10,000 objects touches only what an index needs.
 */
export class StoredValue implements StoredObject {
  readonly key: string;
  readonly revision: number;
  /** About the length of `bytes`, known without making them. Never changes. */
  readonly size: number;
  readonly #context: ValueContext;
  /** Without resourceVersion until `isComplete`. */
  #bytes: Uint8Array;
  #isComplete: boolean;
  #classification: Classification | undefined;
  #decoded: WeakRef<object> | undefined;

  private constructor(
    key: string,
    revision: number,
    bytes: Uint8Array,
    rest: { context: ValueContext; classification: Classification | undefined; isComplete: boolean },
  ) {
    this.key = key;
    this.revision = revision;
    this.size = bytes.length;
    this.#bytes = bytes;
    this.#isComplete = rest.isComplete;
    this.#context = rest.context;
    this.#classification = rest.classification;
  }

  /** `bytes` without resourceVersion. */
  static written(
    identity: { readonly key: string; readonly revision: number },
    value: { readonly bytes: Uint8Array } & Classification,
    context: ValueContext,
  ): StoredValue {
    return new StoredValue(identity.key, identity.revision, withResourceVersion(value.bytes, identity.revision), {
      context,
      classification: { labels: value.labels, fields: value.fields },
      isComplete: true,
    });
  }

  /** `bytes` without resourceVersion, which is put in, as labels and fields are found, when they are first asked for. */
  static loaded(
    identity: { readonly key: string; readonly revision: number },
    bytes: Uint8Array,
    context: ValueContext,
  ): StoredValue {
    return new StoredValue(identity.key, identity.revision, bytes, {
      context,
      classification: undefined,
      isComplete: false,
    });
  }

  /** The same object under another revision: the last state of a deleted object, or one that reappears after a restart. */
  static rebased(object: StoredObject, revision: number, context: ValueContext): StoredValue {
    const bytes = withResourceVersion(withoutResourceVersion(object.bytes), revision);
    return new StoredValue(object.key, revision, bytes, {
      context,
      classification: object instanceof StoredValue ? object.#classification : object,
      isComplete: true,
    });
  }

  get bytes(): Uint8Array {
    if (!this.#isComplete) {
      this.#bytes = withResourceVersion(this.#bytes, this.revision);
      this.#isComplete = true;
    }
    return this.#bytes;
  }

  get labels(): Readonly<Record<string, string>> {
    return this.#classified().labels;
  }

  get fields(): Readonly<Record<string, string>> {
    return this.#classified().fields;
  }

  object(): unknown {
    const known = this.#decoded?.deref();
    if (known !== undefined) return known;
    const decoded = JSON.parse(decoder.decode(this.bytes)) as object;
    if (this.#context.freezeObjects) deepFreeze(decoded);
    this.#decoded = new WeakRef(decoded);
    return decoded;
  }

  #classified(): Classification {
    this.#classification ??= this.#context.classify(this.key, this.object());
    return this.#classification;
  }
}

function deepFreeze(value: object): void {
  Object.freeze(value);
  for (const child of Object.values(value)) if (typeof child === 'object' && child !== null) deepFreeze(child);
}
