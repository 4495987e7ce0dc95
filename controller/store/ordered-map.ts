/**
 * An immutable map in key order (UTF-16 code units, which for the ASCII keys of the store is byte order). A change copies the nodes on
 * one path, about log32(n) small arrays, and shares the rest: so every snapshot of the store is one reference, valid for as long as
 * it is held, however long a LIST takes. Each inner node knows the size of its subtree, so counting a range costs two descents.
 */

/** Nodes split above this and are merged with a neighbour below a quarter of it. */
const MAX_WIDTH = 32;
const MIN_WIDTH = MAX_WIDTH / 4;

interface Leaf<T> {
  readonly children: undefined;
  readonly keys: readonly string[];
  readonly values: readonly T[];
  readonly size: number;
}

interface Inner<T> {
  /** `keys[i]` is the smallest key below `children[i]`. */
  readonly keys: readonly string[];
  readonly children: readonly TreeNode<T>[];
  readonly size: number;
}

type TreeNode<T> = Leaf<T> | Inner<T>;

const EMPTY: Leaf<never> = { children: undefined, keys: [], values: [], size: 0 };

export class OrderedMap<T> {
  readonly #root: TreeNode<T>;

  private constructor(root: TreeNode<T>) {
    this.#root = root;
  }

  static empty<T>(): OrderedMap<T> {
    return new OrderedMap<T>(EMPTY);
  }

  /** Builds the map in one pass; `entries` must be in strictly growing key order. */
  static fromSorted<T>(entries: readonly (readonly [string, T])[]): OrderedMap<T> {
    let level: TreeNode<T>[] = [];
    for (let at = 0; at < entries.length; at += MAX_WIDTH) {
      const slice = entries.slice(at, at + MAX_WIDTH);
      level.push(
        leaf(
          slice.map(([key]) => key),
          slice.map(([, value]) => value),
        ),
      );
    }
    while (level.length > 1) {
      const above: TreeNode<T>[] = [];
      for (let at = 0; at < level.length; at += MAX_WIDTH) above.push(inner(level.slice(at, at + MAX_WIDTH)));
      level = above;
    }
    return new OrderedMap(level[0] ?? EMPTY);
  }

  get size(): number {
    return this.#root.size;
  }

  get(key: string): T | undefined {
    let node = this.#root;
    while (node.children !== undefined) node = node.children[childIndex(node.keys, key)]!;
    const at = lowerBound(node.keys, key);
    return node.keys[at] === key ? node.values[at] : undefined;
  }

  with(key: string, value: T): OrderedMap<T> {
    const nodes = put(this.#root, key, value);
    return new OrderedMap(nodes.length === 1 ? nodes[0]! : inner(nodes));
  }

  without(key: string): OrderedMap<T> {
    let root = remove(this.#root, key);
    if (root === this.#root) return this;
    while (root.children?.length === 1) root = root.children[0]!;
    return new OrderedMap(root.size === 0 ? EMPTY : root);
  }

  /** Values with `from` <= key < `to` (undefined: to the end), in key order. */
  range(from: string, to?: string): IterableIterator<T> {
    return new RangeIterator(this.#root, from, to);
  }

  /** Number of keys with `from` <= key < `to`, without visiting them. */
  countRange(from: string, to?: string): number {
    const end = to === undefined ? this.size : rank(this.#root, to);
    return Math.max(0, end - rank(this.#root, from));
  }
}

/** The smallest string that is greater than every string with this prefix; undefined where there is none. */
export function prefixEnd(prefix: string): string | undefined {
  for (let at = prefix.length - 1; at >= 0; at--) {
    const code = prefix.charCodeAt(at);
    if (code < 0xffff) return prefix.slice(0, at) + String.fromCharCode(code + 1);
  }
  return undefined;
}

/** The smallest string greater than `key`. */
export function keyAfter(key: string): string {
  return `${key}\0`;
}

function leaf<T>(keys: readonly string[], values: readonly T[]): Leaf<T> {
  return { children: undefined, keys, values, size: keys.length };
}

function inner<T>(children: readonly TreeNode<T>[]): Inner<T> {
  let size = 0;
  for (const child of children) size += child.size;
  return { keys: children.map((child) => child.keys[0]!), children, size };
}

/** Index of the first key >= `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child whose range holds `key`: the last one that starts at or before it, or the first. */
function childIndex(keys: readonly string[], key: string): number {
  const at = lowerBound(keys, key);
  return at < keys.length && keys[at] === key ? at : Math.max(0, at - 1);
}

/** One node, or two where it had to be split. */
function put<T>(node: TreeNode<T>, key: string, value: T): TreeNode<T>[] {
  if (node.children === undefined) {
    const at = lowerBound(node.keys, key);
    if (node.keys[at] === key) return [leaf(node.keys, node.values.with(at, value))];
    const keys = node.keys.toSpliced(at, 0, key);
    const values = node.values.toSpliced(at, 0, value);
    if (keys.length <= MAX_WIDTH) return [leaf(keys, values)];
    const middle = splitPoint(at, keys.length);
    return [leaf(keys.slice(0, middle), values.slice(0, middle)), leaf(keys.slice(middle), values.slice(middle))];
  }
  const at = childIndex(node.keys, key);
  const child = node.children[at]!;
  const [changed, split] = put(child, key, value);
  if (split === undefined) return [replaceChild(node, at, changed!)];
  const children = node.children.toSpliced(at, 1, changed!, split);
  if (children.length <= MAX_WIDTH) return [inner(children)];
  const middle = splitPoint(at, children.length);
  return [inner(children.slice(0, middle)), inner(children.slice(middle))];
}

/** The usual case of a write, and cheaper than a node made anew: keys and sizes of the other children stay as they are. */
function replaceChild<T>(node: Inner<T>, at: number, child: TreeNode<T>): Inner<T> {
  const first = child.keys[0]!;
  return {
    keys: node.keys[at] === first ? node.keys : node.keys.with(at, first),
    children: node.children.with(at, child),
    size: node.size - node.children[at]!.size + child.size,
  };
}

/** Appending in key order (the usual load) leaves full nodes behind instead of half-empty ones. */
function splitPoint(changedAt: number, length: number): number {
  return changedAt >= length - 2 ? length - MIN_WIDTH : length >>> 1;
}

function remove<T>(node: TreeNode<T>, key: string): TreeNode<T> {
  if (node.children === undefined) {
    const at = lowerBound(node.keys, key);
    if (node.keys[at] !== key) return node;
    return leaf(node.keys.toSpliced(at, 1), node.values.toSpliced(at, 1));
  }
  const at = childIndex(node.keys, key);
  const child = node.children[at]!;
  const changed = remove(child, key);
  if (changed === child) return node;
  return inner(rebalance(node.children, at, changed));
}

const width = (node: TreeNode<unknown>) => node.keys.length;

/** The children after `children[at]` became `changed`, which may now be too narrow. */
function rebalance<T>(children: readonly TreeNode<T>[], at: number, changed: TreeNode<T>): readonly TreeNode<T>[] {
  if (width(changed) === 0) return children.toSpliced(at, 1);
  if (width(changed) >= MIN_WIDTH || children.length === 1) return children.with(at, changed);
  const leftAt = at === 0 ? 0 : at - 1;
  const left = at === 0 ? changed : children[leftAt]!;
  const right = at === 0 ? children[1]! : changed;
  if (width(left) + width(right) > MAX_WIDTH) return children.with(at, changed);
  return children.toSpliced(leftAt, 2, merged(left, right));
}

function merged<T>(left: TreeNode<T>, right: TreeNode<T>): TreeNode<T> {
  if (left.children !== undefined && right.children !== undefined) return inner([...left.children, ...right.children]);
  if (left.children === undefined && right.children === undefined)
    return leaf([...left.keys, ...right.keys], [...left.values, ...right.values]);
  throw new Error('ordered map: neighbours of different height');
}

/** Walks the leaves with a stack of its own: a LIST visits thousands of values, and nested generators would cost it milliseconds. */
class RangeIterator<T> implements IterableIterator<T> {
  readonly #to: string | undefined;
  /** Inner nodes on the way down, each with the index of the child that comes next. */
  readonly #path: { readonly node: Inner<T>; next: number }[] = [];
  #leaf: Leaf<T>;
  #at: number;
  /** Index in the current leaf at which the range ends. */
  #end: number;

  constructor(root: TreeNode<T>, from: string, to: string | undefined) {
    this.#to = to;
    let node = root;
    while (node.children !== undefined) {
      const at = childIndex(node.keys, from);
      this.#path.push({ node, next: at + 1 });
      node = node.children[at]!;
    }
    this.#leaf = node;
    this.#at = lowerBound(node.keys, from);
    this.#end = this.#endIn(node);
  }

  next(): IteratorResult<T, undefined> {
    while (this.#at >= this.#end) if (!this.#nextLeaf()) return { done: true, value: undefined };
    return { done: false, value: this.#leaf.values[this.#at++]! };
  }

  [Symbol.iterator](): this {
    return this;
  }

  #nextLeaf(): boolean {
    // A leaf that the range does not fill is its last one.
    if (this.#end < this.#leaf.keys.length) return false;
    while (this.#path.length > 0 && this.#path.at(-1)!.next >= this.#path.at(-1)!.node.children.length)
      this.#path.pop();
    const step = this.#path.at(-1);
    if (step === undefined) return false;
    let node = step.node.children[step.next++]!;
    while (node.children !== undefined) {
      this.#path.push({ node, next: 1 });
      node = node.children[0]!;
    }
    this.#leaf = node;
    this.#at = 0;
    this.#end = this.#endIn(node);
    return true;
  }

  #endIn(leaf: Leaf<T>): number {
    const last = leaf.keys.at(-1);
    if (this.#to === undefined || last === undefined || last < this.#to) return leaf.keys.length;
    return lowerBound(leaf.keys, this.#to);
  }
}

/** Number of keys smaller than `key`. */
function rank<T>(root: TreeNode<T>, key: string): number {
  let node = root;
  let smaller = 0;
  while (node.children !== undefined) {
    const at = childIndex(node.keys, key);
    for (let i = 0; i < at; i++) smaller += node.children[i]!.size;
    node = node.children[at]!;
  }
  return smaller + lowerBound(node.keys, key);
}
