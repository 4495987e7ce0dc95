import { ApiError } from '#api/object/api-error.ts';
import type { Node } from '#api/object/kinds.ts';
import type { Clock } from '#base/clock.ts';
import { clockOffsetMs } from '#base/clock-jumps.ts';
import type { Store } from '../../store/store.ts';
import type { Authenticator, UserInfo } from '../chain/request-context.ts';

/** What a node may still do with a certificate that has expired is bound to this group: ask for another one. */
export const LAPSED_NODES = 'coracle:lapsed-nodes';

const NODE_USER = 'system:node:';
const NODES = 'system:nodes';
const DAY_MS = 86_400_000;

export interface LapsedNodeFacts {
  readonly nodeName: string;
  readonly expiredAtMs: number;
  readonly nowMs: number;
  /** How long after its end a certificate still proves who a node is. */
  readonly windowMs: number;
  readonly node: Pick<Node, 'status'> | undefined;
  /** It would be good still if the clock of this server had not jumped ahead: the node was not away. */
  readonly isByJump: boolean;
}

/** Why a node that holds the key of an expired certificate gets no other one, or undefined when it does. Pure. */
export function lapsedNodeProblem({
  nodeName,
  expiredAtMs,
  nowMs,
  windowMs,
  node,
  isByJump,
}: LapsedNodeFacts): string | undefined {
  const days = (ms: number) => `${Math.floor(ms / DAY_MS)} days`;
  if (nowMs - expiredAtMs > windowMs)
    return `the certificate of node ${nodeName} expired ${days(nowMs - expiredAtMs)} ago, and the cluster takes its key for ${days(windowMs)}`;
  if (node === undefined) return `the cluster has no node ${nodeName} any more`;
  // Whoever has the node's disk has its key. While the node itself is at work, this is somebody else.
  const ready = node.status?.conditions?.find(({ type }) => type === 'Ready');
  if (ready?.status === 'True' && !isByJump)
    return `node ${nodeName} is at work with a newer certificate, so this host is a copy of it, or was replaced by it`;
  return undefined;
}

/**
 * Nodes that were away for so long that their client certificate has expired. The handshake has proved that they hold its key; that is
 * enough to ask for a new certificate in the same name, and for nothing else.
 */
export function createLapsedNodeAuthenticator(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly windowMs: number;
}): Authenticator {
  const { store, clock, windowMs } = deps;
  const startOffsetMs = clockOffsetMs(clock);
  return {
    name: 'lapsed-node',
    authenticate({ peer: { certificate } }): UserInfo | undefined {
      if (certificate?.expiresAtMs === undefined || !certificate.organizations.includes(NODES)) return undefined;
      const nowMs = clock.now();
      if (nowMs < certificate.expiresAtMs || !certificate.commonName.startsWith(NODE_USER)) return undefined;
      const nodeName = certificate.commonName.slice(NODE_USER.length);
      const node = store.snapshot().get(`/registry/minions/${nodeName}`)?.object() as Node | undefined;
      const isByJump = certificate.expiresAtMs > startOffsetMs + clock.monotonic();
      const facts = { nodeName, expiredAtMs: certificate.expiresAtMs, nowMs, windowMs, node, isByJump };
      const problem = lapsedNodeProblem(facts);
      if (problem !== undefined)
        throw new ApiError(401, 'Unauthorized', `${problem}: join it again with a token of \`coracle token create\``);
      return { name: certificate.commonName, groups: [LAPSED_NODES, 'system:authenticated'] };
    },
  };
}
