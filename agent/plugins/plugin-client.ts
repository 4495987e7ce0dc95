import {
  Client,
  credentials,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';

/** What a plug-in answered in place of a result, worded as Go's gRPC does: users search for that. */
class PluginCallError extends Error {
  override readonly name = 'PluginCallError';
  readonly code: number;
  constructor(code: number, details: string, options?: { cause?: unknown }) {
    super(`rpc error: code = ${codeName(code)} desc = ${details}`, options);
    this.code = code;
  }
}

/** `DEADLINE_EXCEEDED` is `DeadlineExceeded` elsewhere. */
const codeName = (code: number): string =>
  (status[code] ?? 'UNKNOWN').toLowerCase().replace(/(^|_)(\w)/g, (_, _dash, letter: string) => letter.toUpperCase());

export interface PluginConnection {
  /** Throws PluginCallError. */
  call<Answer>(method: string, request: object): Promise<Answer>;
  close(): void;
}

/** A service of a plug-in behind a unix socket. Nothing is connected before the first call. */
export function connectPlugin(socket: string, service: ServiceDefinition, timeoutMs: number): PluginConnection {
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  return {
    call<Answer>(method: string, request: object): Promise<Answer> {
      const { path, requestSerialize, responseDeserialize } = service[method] as MethodDefinition<object, object>;
      const deadline = Date.now() + timeoutMs;
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, (err, answer) => {
          if (err === null) resolve(answer as Answer);
          else reject(new PluginCallError(err.code, err.details, { cause: err }));
        });
      });
    },
    close: () => client.close(),
  };
}

/** What a plug-in says on and on. The answer ends it; `onEnd` is called once, for whatever reason. */
export function followPlugin<Message>(
  socket: string,
  method: ServiceDefinition[string] | undefined,
  { onData, onEnd }: { readonly onData: (message: Message) => void; readonly onEnd: (err?: ServiceError) => void },
): () => void {
  const { path, requestSerialize, responseDeserialize } = method as MethodDefinition<object, object>;
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
  let isEnded = false;
  const end = (err?: ServiceError) => {
    if (isEnded) return;
    isEnded = true;
    client.close();
    onEnd(err);
  };
  stream.on('data', onData);
  stream.on('error', end);
  stream.on('end', () => end());
  return () => stream.cancel();
}
