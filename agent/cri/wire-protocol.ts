import { type AnyDefinition, fromJSON, type MessageTypeDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import eventsDescriptor from '../../protos/containerd-events.json' with { type: 'json' };
import criDescriptor from '../../protos/cri-v1.json' with { type: 'json' };

/**
 * `defaults` because proto3 leaves zero values out, so that CONTAINER_CREATED (0) would arrive as undefined; `longs` as numbers lose
 * at most 256 ns of a timestamp in nanoseconds.
 */
const OPTIONS = { keepCase: true, defaults: true, enums: String, longs: Number };

export interface WireProtocol {
  readonly runtime: ServiceDefinition;
  readonly image: ServiceDefinition;
  readonly events: ServiceDefinition;
  readonly taskExit: MessageTypeDefinition<object, object>;
}

type Descriptor = Parameters<typeof fromJSON>[0];

/** CRI v1 and containerd's event service; costs about 4 MB and 20 ms, so once per process. */
export function loadWireProtocol(): WireProtocol {
  const cri = fromJSON(criDescriptor as Descriptor, OPTIONS);
  const events = fromJSON(eventsDescriptor as Descriptor, OPTIONS);
  return {
    runtime: service(cri['runtime.v1.RuntimeService']),
    image: service(cri['runtime.v1.ImageService']),
    events: service(events['containerd.services.events.v1.Events']),
    taskExit: events['containerd.services.events.v1.TaskExit'] as MessageTypeDefinition<object, object>,
  };
}

function service(definition: AnyDefinition | undefined): ServiceDefinition {
  if (definition === undefined || 'format' in definition) throw new Error('protocol descriptor without its service');
  return definition as ServiceDefinition;
}
