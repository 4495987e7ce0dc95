import type { Duplex } from 'node:stream';
import { checkServerIdentity, type PeerCertificate, type TLSSocket } from 'node:tls';
import { ApiError } from '#api/object/api-error.ts';
import type { Node } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import { untimelyCertificate } from '../../pki/untimely-certificate.ts';
import type { ClusterDialer } from '../../tunnel/dialer.ts';
import { tlsOverStream } from '../../tunnel/tls-over-stream.ts';

/** The API server's identity towards kubelets. */
export interface KubeletTls {
  /** Signs the kubelets' serving certificates; undefined takes any certificate, as Kubernetes does without --kubelet-certificate-authority. */
  readonly ca: string | undefined;
  readonly cert: string;
  readonly key: string;
}

export const DEFAULT_KUBELET_PORT = 10250;

const TLS_HANDSHAKE_TIMEOUT_MS = 10_000;

export function kubeletPort(node: Node | undefined): number {
  return node?.status?.daemonEndpoints?.kubeletEndpoint?.Port || DEFAULT_KUBELET_PORT;
}

/** An encrypted connection to a node's API, whichever way the dialer takes. Rejects with ApiError 404, 503 or 502. */
export async function dialKubelet(
  dialer: ClusterDialer,
  node: { readonly name: string; readonly port: number },
  tls: KubeletTls,
  signal?: AbortSignal,
): Promise<Duplex> {
  const raw = await dialer.dial({ kind: 'node', name: node.name, port: node.port }, signal);
  try {
    return await secure(raw, node.name, tls, signal);
  } catch (err) {
    raw.destroy();
    signal?.throwIfAborted();
    throw new ApiError(
      502,
      'InternalError',
      `error dialing backend: TLS to the kubelet of node ${node.name}: ${describeError(err)}`,
      undefined,
      { cause: err },
    );
  }
}

function secure(raw: Duplex, nodeName: string, tls: KubeletTls, signal?: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = tlsOverStream(raw, {
      cert: tls.cert,
      key: tls.key,
      ca: tls.ca,
      // Judged below: a node's certificate of tomorrow says that our own clock is behind.
      rejectUnauthorized: false,
      ALPNProtocols: ['http/1.1'],
      servername: nodeName,
      checkServerIdentity: (_, certificate) => checkKubeletIdentity(nodeName, certificate),
    });
    // Errors between two owners of the connection reach nobody; its close does.
    socket.on('error', () => {});
    const settle = (err: unknown) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.off('error', settle);
      if (err === undefined) {
        resolve(socket);
        return;
      }
      socket.destroy();
      reject(err);
    };
    const onAbort = () => settle(signal?.reason);
    const timer = setTimeout(() => settle(new Error('handshake timed out')), TLS_HANDSHAKE_TIMEOUT_MS);
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('error', settle);
    socket.once('secureConnect', () => settle(peerProblem(socket, nodeName, tls.ca)));
  });
}

function peerProblem(socket: TLSSocket, nodeName: string, caPem: string | undefined): Error | undefined {
  if (caPem === undefined || socket.authorized) return undefined;
  const fault: unknown = socket.authorizationError;
  const rule = { faults: ['CERT_NOT_YET_VALID'], caPem, usage: 'server' } as const;
  if (untimelyCertificate(socket, rule) !== undefined)
    return checkKubeletIdentity(nodeName, socket.getPeerCertificate());
  return fault instanceof Error ? fault : new Error(String(fault));
}

/** Addresses change and tunnels have none, so what counts is the node's name: every kubelet certificate carries it as its subject. */
function checkKubeletIdentity(nodeName: string, certificate: PeerCertificate): Error | undefined {
  const { CN, O } = certificate.subject ?? {};
  if (CN === `system:node:${nodeName}` && [O ?? []].flat().includes('system:nodes')) return undefined;
  return checkServerIdentity(nodeName, certificate);
}
