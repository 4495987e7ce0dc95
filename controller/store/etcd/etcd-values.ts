import { describeError } from '#base/errors.ts';
import type { ValueSealer } from '../seal/value-sealer.ts';
import { StoredValue, type ValueContext } from '../stored-value.ts';
import { canonicalValue } from './foreign-value.ts';
import type { KeyValue } from './wire-protocol.ts';
import { withMark, withoutMark } from './writer-mark.ts';

const decoder = new TextDecoder();

/**
 * What stands between an object and its bytes in etcd: encryption at rest. The key is etcd's own, as Kubernetes binds sealed values to it;
 * below another prefix than `/registry` it is not the store's.
 */
export type EtcdSealer = Pick<ValueSealer, 'seal' | 'open'>;

/** Values lie in etcd as they are. */
export const plainSealer: EtcdSealer = {
  seal: (_key, plain) => plain,
  open: (_key, stored) => stored,
};

/** A value that nobody can make an object of: a key is missing, or something else than an API server wrote it. */
class UnreadableValue extends Error {
  override readonly name = 'UnreadableValue';
}

/** Turns what etcd keeps into objects and back. */
export class EtcdValues {
  readonly context: ValueContext;
  readonly #sealer: EtcdSealer;
  readonly #mark: Uint8Array;

  /** `mark` tells the writes of this process from those of all others; see writer-mark.ts. */
  constructor(context: ValueContext, sealer: EtcdSealer, mark: Uint8Array) {
    this.context = context;
    this.#sealer = sealer;
    this.#mark = mark;
  }

  /** Never the same bytes as another server makes of the same object. */
  seal(etcdKey: Uint8Array, plain: Uint8Array): Uint8Array {
    return this.#sealer.seal(decoder.decode(etcdKey), withMark(plain, this.#mark));
  }

  /** Throws UnreadableValue. */
  read(key: string, kv: KeyValue): StoredValue {
    try {
      const plain = this.#sealer.open(decoder.decode(kv.key), kv.value);
      const value = StoredValue.loaded(
        { key, revision: Number(kv.mod_revision) },
        canonicalValue(withoutMark(plain)),
        this.context,
      );
      // Makes the object's own copy now: as it came it is a view that would keep a whole message alive.
      void value.bytes;
      return value;
    } catch (err) {
      throw new UnreadableValue(`the value of ${decoder.decode(kv.key)} cannot be read: ${describeError(err)}`, {
        cause: err,
      });
    }
  }
}
