import http2, { type ClientHttp2Session } from 'node:http2';
import type { ContractCall } from '#controller/apiserver/testing/contract/contract-target.ts';
import type { ControllerProcess } from '#test/kit/controller-process.ts';
import { requestOver } from '#test/kit/https-contract-target.ts';
import { quantile } from './result.ts';

/** A connection as the administrator. */
export function connectTo({ access }: ControllerProcess): ClientHttp2Session {
  const session = http2.connect(access.server, { ca: access.ca!, cert: access.cert!, key: access.key! });
  session.setMaxListeners(0);
  session.on('error', () => {});
  return session;
}

/** The status and the bytes of an answer, which is read and thrown away. */
export async function request(
  session: ClientHttp2Session,
  call: ContractCall,
): Promise<{ readonly status: number; readonly bytes: number }> {
  const response = await requestOver(session, call);
  let bytes = 0;
  for await (const chunk of response.chunks) bytes += chunk.byteLength;
  return { status: response.status, bytes };
}

export interface LoadResult {
  /** Requests a second. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly bytesPerAnswer: number;
}

/** `width` requests at once for so long, over four connections of this process. Throws when one is refused. */
export async function runLoad(
  controller: ControllerProcess,
  { width, seconds, call }: { readonly width: number; readonly seconds: number; call(index: number): ContractCall },
): Promise<LoadResult> {
  const sessions = Array.from({ length: Math.min(4, width) }, () => connectTo(controller));
  const latenciesMs: number[] = [];
  let bytes = 0;
  let index = 0;
  const startMs = performance.now();
  const endMs = startMs + seconds * 1000;
  const client = async (session: ClientHttp2Session) => {
    while (performance.now() < endMs) {
      const wanted = call(index++);
      const sentMs = performance.now();
      const answer = await request(session, wanted);
      if (answer.status >= 300) throw new Error(`${wanted.method} ${wanted.path}: ${answer.status}`);
      latenciesMs.push(performance.now() - sentMs);
      bytes += answer.bytes;
    }
  };
  await Promise.all(Array.from({ length: width }, (_, i) => client(sessions[i % sessions.length]!)));
  const elapsedMs = performance.now() - startMs;
  for (const session of sessions) session.destroy();
  return {
    rate: (latenciesMs.length / elapsedMs) * 1000,
    p50Ms: quantile(latenciesMs, 0.5),
    p99Ms: quantile(latenciesMs, 0.99),
    bytesPerAnswer: bytes / latenciesMs.length,
  };
}
