import type { Duplex } from 'node:stream';
import { badRequest } from '#api/object/api-error.ts';
import { renderUpgradeRequest, type UpgradeTarget } from '#api/tunnel/upgrade-request.ts';
import { joinStreams } from '#base/join-streams.ts';
import { attributesOf, denied } from '../authorize/attributes.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { UpgradedSocket } from '../server/api-request.ts';
import type { ConnectOptions } from './connect-options.ts';

export type UpgradeKind = 'websocket' | 'spdy';

/** Which protocol the client wants to switch to; 400 when it wants none. */
export function upgradeKind({ request }: RequestContext): UpgradeKind {
  const upgrade = (request.header('upgrade') ?? '').toLowerCase();
  if (request.upgrade === undefined || upgrade === '') throw badRequest('Upgrade request required');
  return upgrade === 'websocket' ? 'websocket' : 'spdy';
}

/** Browsers, which can set no header on a WebSocket, bring their token as a subprotocol. */
const BEARER_PROTOCOL = 'base64url.bearer.authorization.k8s.io.';

/** The subprotocols of a header, without a token among them. */
export const protocolsOf = (header: string): readonly string[] =>
  header
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && !name.startsWith(BEARER_PROTOCOL));

/** Subprotocols that a WebSocket client offers, in its order. */
export function offeredProtocols({ request }: RequestContext): readonly string[] {
  return protocolsOf(request.header('sec-websocket-protocol') ?? '');
}

/** Headers as `name, value, name, value ...`, without a token among the subprotocols: no node and no backend may see it. */
export function withoutBearerProtocol(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i]!, rawHeaders[i + 1]!];
    if (name.toLowerCase() !== 'sec-websocket-protocol') kept.push(name, value);
    else {
      const protocols = protocolsOf(value);
      if (protocols.length > 0) kept.push(name, protocols.join(', '));
    }
  }
  return kept;
}

/**
 * A WebSocket handshake is a GET, which rules for reading would allow; whoever may not `create` the subresource may not open it that way
 * either.
 */
export function requireCreate(context: RequestContext, { authorizer }: ConnectOptions): void {
  if (context.info.verb === 'create') return;
  const attributes = { ...attributesOf(context.user, context.info), verb: 'create' };
  const { decision, reason } = authorizer.authorize(attributes);
  if (decision !== 'allow') throw denied(attributes, reason);
}

/** Takes the client's connection over; nothing can be answered any more after this. */
export function takeOver(context: RequestContext): UpgradedSocket {
  const { upgrade } = context.request;
  if (upgrade === undefined) throw badRequest('Upgrade request required');
  context.statusCode = 101;
  const { onAnswer } = context;
  context.onAnswer = undefined;
  onAnswer?.();
  return upgrade();
}

/** Sends the client's own handshake to the backend and joins the two connections: the backend's answer reaches the client byte by byte. */
export function passThrough(client: UpgradedSocket, backend: Duplex, target: UpgradeTarget): void {
  backend.write(renderUpgradeRequest(target, withoutBearerProtocol(client.incoming.rawHeaders)));
  if (client.head.length > 0) backend.write(client.head);
  joinStreams(client.socket, backend);
}
