/** The root that the store's own keys begin with. */
const ROOT = '/registry/';

/** Written to make sure of an order among transactions; see fence.ts. Lies where no kind of Kubernetes does. */
const FENCE = 'coracle.dev/fence';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Where the store's keys lie in etcd: `/registry/pods/default/a` below another prefix is `<prefix>/pods/default/a`. */
export class KeySpace {
  /** Ends in a slash. */
  readonly #root: string;
  /** First key of everything that belongs to the store, and the first after it. */
  readonly first: Uint8Array;
  readonly end: Uint8Array;
  readonly fence: Uint8Array;
  /** What is added to etcd's revisions, in decimal digits. Beside the root, so that nobody takes it for an object. */
  readonly revisionOffset: Uint8Array;
  /** The keys of sealed values that API servers share; see etcd-key-ring.ts. */
  readonly sealingKeys: Uint8Array;
  /** Where it is there, the state has gone elsewhere: whoever still wrote here would be left behind. Tells when, in words. */
  readonly movedAway: Uint8Array;

  /** `prefix` as the administrator writes it: `/registry`. */
  constructor(prefix: string) {
    this.#root = `${prefix.replace(/\/+$/, '')}/`;
    this.first = encoder.encode(this.#root);
    // The root with its last character, a slash, replaced by the next one.
    this.end = encoder.encode(`${this.#root.slice(0, -1)}0`);
    this.fence = encoder.encode(`${this.#root}${FENCE}`);
    const beside = `${this.#root.slice(0, -1)}.coracle.dev`;
    this.revisionOffset = encoder.encode(`${beside}/revision-offset`);
    this.sealingKeys = encoder.encode(`${beside}/sealing-keys`);
    this.movedAway = encoder.encode(`${beside}/moved-away`);
  }

  toEtcd(key: string): Uint8Array {
    return encoder.encode(`${this.#root}${key.slice(ROOT.length)}`);
  }

  /** undefined for the keys that are no objects. */
  fromEtcd(key: Uint8Array): string | undefined {
    const rest = decoder.decode(key.subarray(this.first.length));
    return rest === FENCE ? undefined : `${ROOT}${rest}`;
  }
}

/** The key after `key`, for ranges that go on after it. */
export function successor(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
