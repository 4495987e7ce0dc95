import { ApiError, badRequest, forbidden } from '#api/object/api-error.ts';
import { TUNNEL_AGENT_HEADER } from '#api/tunnel/frames.ts';
import type { TunnelHub } from '../../tunnel/tunnel-hub.ts';
import type { SubresourceDefinition } from '../registry/resource-definition.ts';
import { takeOver } from './upgrade-request.ts';

/** `nodes/<name>/tunnel`: the node itself connects here, and the API server reaches it and its pods through that connection. */
export function nodeTunnel(hub: Pick<TunnelHub, 'accept' | 'twinProblem'>): SubresourceDefinition {
  return {
    name: 'tunnel',
    verbs: ['get'],
    kind: { group: '', version: 'v1', kind: 'Node' },
    async handle(context) {
      const { user, info, request } = context;
      // Whoever answers as a node sees what is meant for it: no role can grant this to anybody else.
      if (user.name !== `system:node:${info.name}` || !user.groups.includes('system:nodes'))
        throw forbidden({ group: '', resource: 'nodes' }, info.name, 'only the node itself may open its tunnel');
      if ((request.header('upgrade') ?? '').toLowerCase() !== 'websocket') throw badRequest('Upgrade request required');
      const agentId = request.header(TUNNEL_AGENT_HEADER);
      const twin = await hub.twinProblem(info.name, { agentId, address: request.peer.address });
      if (twin !== undefined) throw new ApiError(409, 'Conflict', twin, { kind: 'nodes', name: info.name });
      hub.accept(info.name, takeOver(context));
    },
  };
}
