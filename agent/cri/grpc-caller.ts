import {
  Client,
  credentials,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import type { Clock } from '#base/clock.ts';
import { CriError } from './runtime.ts';

export interface CallOptions {
  /** undefined = as long as the signal lets it. */
  readonly timeoutMs: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One gRPC connection to a unix socket; answers and errors in our own shapes. */
export interface GrpcCaller {
  unary<Response>(service: ServiceDefinition, method: string, request: object, options: CallOptions): Promise<Response>;
  /** Resolves when the server ends the stream, rejects with CriError when it breaks; aborting the signal resolves. */
  serverStream(
    service: ServiceDefinition,
    method: string,
    request: object,
    options: { readonly onMessage: (message: object) => void; readonly signal: AbortSignal },
  ): Promise<void>;
  close(): void;
}

/**
 * No keepalive: containerd keeps Go's default policy and answers pings more frequent than 5 min with GOAWAY. Reconnect back-off is
 * short because the peer is on this host and back within seconds of a restart. 16 MiB is the kubelet's own message limit.
 */
const CHANNEL_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2000,
  'grpc.max_receive_message_length': 16 * 1024 * 1024,
  'grpc.max_send_message_length': 16 * 1024 * 1024,
  'grpc.enable_retries': 0,
  'grpc.service_config_disable_resolution': 1,
  'grpc.use_local_subchannel_pool': 1,
};

export function createGrpcCaller({ endpoint, clock }: { endpoint: string; clock: Clock }): GrpcCaller {
  const client = new Client(endpoint, credentials.createInsecure(), CHANNEL_OPTIONS);
  return {
    unary: (service, name, request, options) =>
      callUnary(client, clock, { method: method(service, name), request }, options),
    serverStream: (service, name, request, options) =>
      callStream(client, { method: method(service, name), request }, options),
    close: () => client.close(),
  };
}

interface Call {
  readonly method: MethodDefinition<object, object>;
  readonly request: object;
}

function method(service: ServiceDefinition, name: string): MethodDefinition<object, object> {
  const definition = service[name];
  if (definition === undefined) throw new Error(`no method ${name} in the protocol descriptor`);
  return definition as MethodDefinition<object, object>;
}

function callUnary<Response>(client: Client, clock: Clock, call: Call, options: CallOptions): Promise<Response> {
  const { timeoutMs, signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    let timedOut = false;
    const { path, requestSerialize, responseDeserialize } = call.method;
    const grpcCall = client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      call.request,
      (err, answer) => {
        cancelTimer?.();
        signal?.removeEventListener('abort', onAbort);
        if (err === null) resolve(answer as Response);
        else if (signal?.aborted) reject(signal.reason);
        else if (timedOut) reject(new CriError(status.DEADLINE_EXCEEDED, `${path}: no answer within ${timeoutMs} ms`));
        else reject(toCriError(err));
      },
    );
    const onAbort = () => grpcCall.cancel();
    signal?.addEventListener('abort', onAbort, { once: true });
    // Our own timer rather than gRPC's deadline, which counts on the wall clock: that jumps by decades when a Pi first hears of NTP.
    const cancelTimer =
      timeoutMs === undefined
        ? undefined
        : clock.after(timeoutMs, () => {
            timedOut = true;
            grpcCall.cancel();
          });
  });
}

function callStream(
  client: Client,
  call: Call,
  { onMessage, signal }: { onMessage: (message: object) => void; signal: AbortSignal },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = call.method;
    const stream = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, call.request);
    const onAbort = () => stream.cancel();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    const finish = (err: ServiceError | undefined) => {
      signal.removeEventListener('abort', onAbort);
      if (err === undefined || signal.aborted) resolve();
      else reject(toCriError(err));
    };
    stream.on('data', onMessage);
    stream.on('error', finish);
    stream.on('end', () => finish(undefined));
  });
}

/**
 * A name that is taken comes as UNKNOWN from containerd 1.x and as FAILED_PRECONDITION from 2.x, told apart by its words alone; callers get
 * the code that says what it is.
 */
const NAME_TAKEN = /\bname\b.* is (?:reserved|in use)/;
const NAME_TAKEN_CODES: readonly number[] = [status.UNKNOWN, status.FAILED_PRECONDITION];

function toCriError(err: ServiceError): CriError {
  const message = err.details || err.message;
  const isTaken = NAME_TAKEN_CODES.includes(err.code) && NAME_TAKEN.test(message);
  return new CriError(isTaken ? status.ALREADY_EXISTS : err.code, message, { cause: err });
}
