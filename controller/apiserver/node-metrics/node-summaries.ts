import type { Node } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import { fetchFromBackend, readText } from '../connect/backend-http.ts';
import { dialKubelet, type KubeletTls, kubeletPort } from '../connect/kubelet-client.ts';
import type { NodeSummary } from './metrics-objects.ts';

export interface NodeSummariesOptions {
  readonly dialer: () => ClusterDialer;
  readonly kubeletTls: () => KubeletTls;
  readonly clock: Clock;
  readonly log: Logger;
}

const PATH = '/stats/summary?only_cpu_and_memory=true';
const TIMEOUT_MS = 8_000;
/** `kubectl top pods` and an autoscaler that ask together share an answer. */
const FRESH_MS = 5_000;
const MAX_BYTES = 16 * 1024 * 1024;
/** Nodes asked at once. */
const WIDTH = 32;

/** Asks kubelets for what they use, when somebody wants to know: nothing is collected while nobody asks. */
export class NodeSummaries {
  readonly #options: NodeSummariesOptions;
  readonly #known = new Map<string, { readonly atMs: number; readonly summary: Promise<NodeSummary | undefined> }>();

  constructor(options: NodeSummariesOptions) {
    this.#options = options;
  }

  /** By node name; nodes that do not answer in time are left out. */
  async fetch(nodes: readonly Node[]): Promise<ReadonlyMap<string, NodeSummary>> {
    const found = new Map<string, NodeSummary>();
    const queue = [...nodes];
    const work = async () => {
      for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
        const summary = await this.#fetchOne(node);
        if (summary !== undefined) found.set(node.metadata.name, summary);
      }
    };
    await Promise.all(Array.from({ length: Math.min(WIDTH, nodes.length) }, work));
    return found;
  }

  #fetchOne(node: Node): Promise<NodeSummary | undefined> {
    const { clock, log } = this.#options;
    const { name } = node.metadata;
    const nowMs = clock.monotonic();
    for (const [key, { atMs }] of this.#known) if (nowMs - atMs > FRESH_MS) this.#known.delete(key);
    const known = this.#known.get(name);
    if (known !== undefined) return known.summary;
    const summary = this.#request(node).catch((err: unknown) => {
      log.debug('a node did not tell what it uses', { node: name, err: describeError(err) });
      return undefined;
    });
    this.#known.set(name, { atMs: nowMs, summary });
    return summary;
  }

  async #request(node: Node): Promise<NodeSummary> {
    const { dialer, kubeletTls, clock } = this.#options;
    const { name } = node.metadata;
    const abort = new AbortController();
    const cancel = clock.after(TIMEOUT_MS, () => abort.abort(new Error(`no answer within ${TIMEOUT_MS} ms`)));
    try {
      const place = { name, port: kubeletPort(node) };
      const connection = await dialKubelet(dialer(), place, kubeletTls(), abort.signal);
      const request = { method: 'GET', path: PATH, headers: { host: name, accept: 'application/json' } };
      const response = await fetchFromBackend(connection, request, abort.signal);
      const text = await readText(response, MAX_BYTES);
      if (response.statusCode !== 200) throw new Error(`${PATH}: ${response.statusCode} ${text.slice(0, 200)}`);
      return JSON.parse(text) as NodeSummary;
    } finally {
      cancel();
    }
  }
}
