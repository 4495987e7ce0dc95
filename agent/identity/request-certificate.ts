import type { KubeClient, ResourceClient } from '#api/client/client.ts';
import { JoinError } from '#api/client/join-error.ts';
import { generateKey, renderSigningRequest, type SigningRequestFacts } from '#api/client/signing-request.ts';
import { TransportError } from '#api/client/transport.ts';
import { ApiError, isNotFound } from '#api/object/api-error.ts';
import type { CertificateSigningRequest } from '#api/object/kinds.ts';
import { resources } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { KeyPair } from './key-pair-file.ts';

export interface CertificateWish extends SigningRequestFacts {
  readonly signerName: string;
  readonly usages: readonly ('digital signature' | 'client auth' | 'server auth')[];
}

export interface RequestDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Somebody deleted the request before it was answered. The cluster does so itself: with one that nobody decided for a day, and with any that
 * is open while the server's clock jumps by that much. Another one may be answered.
 */
const GONE = Symbol('gone');

/** One watch lasts so long; afterwards the request is read anew. */
const WATCH_SECONDS = 60;
const RETRY_MS = 2000;

/** The certificate once it is there; throws JoinError when it was denied or failed; undefined while it is open. Pure. */
function issuedCertificate(csr: CertificateSigningRequest): string | undefined {
  for (const type of ['Denied', 'Failed'] as const) {
    const condition = csr.status?.conditions?.find((candidate) => candidate.type === type);
    if (condition === undefined) continue;
    const why = condition.message ?? condition.reason ?? 'no reason given';
    throw new JoinError('refused', `the certificate request ${csr.metadata.name} was ${type.toLowerCase()}: ${why}`);
  }
  const certificate = csr.status?.certificate;
  return certificate ? Buffer.from(certificate, 'base64').toString() : undefined;
}

/** Turns an API or transport failure into what the operator can act on. */
function explain(err: unknown): unknown {
  if (err instanceof TransportError) {
    return new JoinError('unreachable', `the API server does not answer: ${err.message}`, { cause: err });
  }
  if (err instanceof ApiError && err.code === 401) {
    // A server that knows the token says what is wrong with it; of one that it does not know it says no more than this.
    const why =
      err.message === 'Unauthorized'
        ? 'the API server does not know this token: it was deleted, or has expired'
        : err.message;
    return new JoinError('badToken', `${why}: make a new one with \`coracle token create\``, { cause: err });
  }
  return err;
}

async function watchOnce(
  api: ResourceClient<CertificateSigningRequest>,
  csr: CertificateSigningRequest,
  signal: AbortSignal,
): Promise<string | typeof GONE | undefined> {
  const events = api.watch({
    fieldSelector: `metadata.name=${csr.metadata.name}`,
    resourceVersion: csr.metadata.resourceVersion,
    timeoutSeconds: WATCH_SECONDS,
    signal,
  });
  for await (const { type, object } of events) {
    if (type === 'DELETED') return GONE;
    if (type === 'BOOKMARK') continue;
    const certificate = issuedCertificate(object);
    if (certificate !== undefined) return certificate;
  }
  return undefined;
}

/** Until it is decided, however long a person takes. */
async function waitForCertificate(
  api: ResourceClient<CertificateSigningRequest>,
  created: CertificateSigningRequest,
  { clock, log, signal }: RequestDeps,
): Promise<string | typeof GONE> {
  const { name } = created.metadata;
  for (;;) {
    try {
      const current = await api.fetch(name, undefined, signal);
      const certificate = issuedCertificate(current) ?? (await watchOnce(api, current, signal));
      if (certificate !== undefined) return certificate;
      log.info('waiting for the certificate request to be approved', { request: name });
    } catch (err) {
      if (signal.aborted || err instanceof JoinError) throw err;
      if (isNotFound(err)) return GONE;
      if (err instanceof ApiError && err.code < 500 && err.code !== 410 && err.code !== 429) throw explain(err);
      log.warn('lost sight of the certificate request, looking again', { request: name, err });
      await delay(clock, RETRY_MS, signal);
    }
  }
}

/** Makes a key on this host, asks the cluster to certify it and waits. Rejects with JoinError where a person must act. */
export async function requestCertificate(deps: RequestDeps, wish: CertificateWish): Promise<KeyPair> {
  const { privateKey, privateKeyPem } = await generateKey();
  const pem = await renderSigningRequest(privateKey, wish);
  const api = deps.client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);
  const draft = {
    metadata: { generateName: 'csr-' },
    spec: {
      signerName: wish.signerName,
      request: Buffer.from(pem).toString('base64'),
      usages: [...wish.usages],
    },
  };
  for (;;) {
    const created = await api.create(draft, deps.signal).catch((err: unknown) => {
      throw explain(err);
    });
    const certificatePem = await waitForCertificate(api, created, deps);
    if (certificatePem !== GONE) return { certificatePem, privateKeyPem };
    deps.log.warn('the certificate request was deleted before it was answered, asking again', {
      request: created.metadata.name,
    });
    await delay(deps.clock, RETRY_MS, deps.signal);
  }
}
