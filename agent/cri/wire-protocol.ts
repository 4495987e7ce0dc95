import type { ServiceDefinition } from '@grpc/grpc-js';
import { type MessageCodec, readDescriptor } from '#api/codec/described-messages.ts';
import eventsDescriptor from '../../protos/containerd-events.json' with { type: 'json' };
import criDescriptor from '../../protos/cri-v1.json' with { type: 'json' };

export interface WireProtocol {
  readonly runtime: ServiceDefinition;
  readonly image: ServiceDefinition;
  readonly events: ServiceDefinition;
  readonly taskExit: MessageCodec;
}

/** CRI v1 and containerd's event service. */
export function loadWireProtocol(): WireProtocol {
  const cri = readDescriptor(criDescriptor);
  const events = readDescriptor(eventsDescriptor);
  return {
    runtime: cri.service('runtime.v1.RuntimeService'),
    image: cri.service('runtime.v1.ImageService'),
    events: events.service('containerd.services.events.v1.Events'),
    taskExit: events.message('containerd.services.events.v1.TaskExit'),
  };
}
