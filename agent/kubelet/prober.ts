/** Outcome of one look at a container. `message` is for the event. */
export interface ProbeResult {
  readonly ok: boolean;
  readonly message: string;
}

export interface HttpCheck {
  readonly scheme: 'http' | 'https';
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly timeoutMs: number;
}

export interface GrpcCheck {
  readonly host: string;
  readonly port: number;
  /** Empty asks for the server as a whole. */
  readonly service: string;
  readonly timeoutMs: number;
}

/** The sockets that probes and hooks need; the implementation is in agent/host. Never throws: a refused connection is a failed probe. */
export interface Prober {
  /** Success is a status of 200-399. Certificates are not verified, redirects to other hosts not followed. */
  http(check: HttpCheck): Promise<ProbeResult>;
  tcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult>;
  /** Success is SERVING of the gRPC health protocol, without TLS. */
  grpc(check: GrpcCheck): Promise<ProbeResult>;
}
