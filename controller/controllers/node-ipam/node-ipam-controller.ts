import type { Informer } from '#api/client/informer.ts';
import type { WorkQueue } from '#api/client/work-queue.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type Node, resources } from '#api/object/kinds.ts';
import { type ObjectKey, objectKey } from '#api/object/kube-object.ts';
import { type ControllerContext, createControllerQueue, runQueue } from '../controller-context.ts';
import { type CidrPool, createCidrPool } from './cidr-pool.ts';

const cidrsOf = (node: Node): readonly string[] =>
  node.spec?.podCIDRs ?? (node.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);

/**
 * Gives every node its block of the pod network. The nodes themselves are the record: after a restart all their blocks are taken before
 * the first one is handed out.
 */
class NodeIpamController {
  readonly #context: ControllerContext;
  readonly #nodes: Informer<Node>;
  readonly #queue: WorkQueue<ObjectKey>;
  readonly #pools: readonly CidrPool[];
  /** Blocks by node name, those included that are promised and not written yet. */
  readonly #blocks = new Map<string, readonly string[]>();
  /** Nodes that came when nothing was left. */
  readonly #unserved = new Set<ObjectKey>();

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#pools = context.config.podCidrs.map(({ cidr, nodeMaskSize }) => createCidrPool(cidr, nodeMaskSize));
    this.#nodes = context.informers.informer<Node>(resources.nodes);
    // One at a time: allocation must not race with itself.
    this.#queue = createControllerQueue<ObjectKey>(context, {
      name: 'node-ipam',
      concurrency: 1,
      sync: (key) => this.#sync(key),
    });
  }

  run(signal: AbortSignal): Promise<void> {
    if (this.#pools.length === 0) return Promise.resolve();
    this.#nodes.addHandler({
      onAdd: (node) => this.#onNode(node),
      onUpdate: (_, node) => this.#onNode(node),
      onDelete: (node) => this.#release(node.metadata.name),
    });
    return runQueue(this.#queue, [this.#nodes], signal);
  }

  #onNode(node: Node): void {
    if (cidrsOf(node).length > 0) this.#occupy(node);
    else this.#queue.add(objectKey(undefined, node.metadata.name));
  }

  #occupy(node: Node): void {
    const { name } = node.metadata;
    const blocks = cidrsOf(node);
    const known = this.#blocks.get(name) ?? [];
    if (known.join() === blocks.join()) return;
    this.#release(name);
    this.#blocks.set(name, blocks);
    for (const block of blocks) {
      const pool = this.#pools.find((candidate) => candidate.contains(block));
      if (pool !== undefined && !pool.occupy(block))
        this.#context.log.error('Two nodes have the same pod network', { node: name, podCidr: block });
    }
  }

  #release(name: string): void {
    for (const block of this.#blocks.get(name) ?? []) {
      const isShared = [...this.#blocks].some(([other, blocks]) => other !== name && blocks.includes(block));
      if (!isShared) for (const pool of this.#pools) pool.release(block);
    }
    this.#blocks.delete(name);
    for (const key of this.#unserved) this.#queue.add(key);
    this.#unserved.clear();
  }

  async #sync(key: ObjectKey): Promise<void> {
    const node = this.#nodes.byKey(key);
    if (node === undefined || cidrsOf(node).length > 0) return;
    const { name, uid } = node.metadata;
    const blocks = this.#blocks.get(name) ?? this.#allocate();
    if (blocks === undefined) {
      this.#unserved.add(key);
      const subject = { apiVersion: 'v1', kind: 'Node', metadata: node.metadata };
      this.#context.events.record(
        subject,
        'Normal',
        'CIDRNotAvailable',
        `Node ${name} status is now: CIDRNotAvailable`,
      );
      return;
    }
    this.#blocks.set(name, blocks);
    const patch = { metadata: { uid }, spec: { podCIDR: blocks[0], podCIDRs: blocks } };
    try {
      await this.#context.client.resource<Node>(resources.nodes).patch({ name, type: 'merge', patch });
    } catch (err) {
      if (isNotFound(err)) return this.#release(name);
      // The fate of the write is unknown: the block stays with this node, and the next try writes the same one.
      throw err;
    }
  }

  /** One block of each family, or none at all. */
  #allocate(): readonly string[] | undefined {
    const blocks: string[] = [];
    for (const pool of this.#pools) {
      const block = pool.allocate();
      if (block === undefined) {
        for (const [index, taken] of blocks.entries()) this.#pools[index]?.release(taken);
        return undefined;
      }
      blocks.push(block);
    }
    return blocks;
  }
}

export function startNodeIpamController(context: ControllerContext, signal: AbortSignal): Promise<void> {
  return new NodeIpamController(context).run(signal);
}
