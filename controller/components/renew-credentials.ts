import type { KubeClient } from '#api/client/client.ts';
import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import { type CertificateSigningRequest, resources } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { isRenewalDue, readCertificateFacts } from '../pki/certificate-facts.ts';
import { type CertificateAndKey, writePair } from '../pki/cluster-pki.ts';
import { type ApiComponent, COMPONENT_USERS } from './components.ts';

export interface CredentialRenewalOptions {
  /** Where `<component>.crt` and `.key` lie. */
  readonly dir: string;
  readonly component: ApiComponent;
  readonly pair: CertificateAndKey;
  /** Acts under that certificate. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Puts a new certificate to use. */
  readonly onRenewed: (pair: CertificateAndKey) => void;
}

/** The wall clock may jump, so it is looked at this often. */
const CHECK_MS = 6 * 3_600_000;
/** A third of the life is left when this begins. */
const RETRY_MS = 10 * 60_000;
const POLL_MS = 2_000;
/** For so long one request is waited for: it may have come while no controller manager led. */
const PATIENCE_MS = 5 * 60_000;

/**
 * Keeps a component's certificate alive until aborted: past two thirds of its life it asks the cluster for another, for a new key. The
 * controller manager approves what its owner asks for.
 */
export async function keepCredentials(options: CredentialRenewalOptions, signal: AbortSignal): Promise<void> {
  const { dir, component, clock, log, onRenewed } = options;
  let { pair } = options;
  while (!signal.aborted) {
    try {
      if (isRenewalDue(readCertificateFacts(pair.certificatePem), clock.now())) {
        pair = await requestPair(options, signal);
        await writePair(dir, component, pair);
        onRenewed(pair);
        log.info('renewed the certificate', { component });
      }
      await delay(clock, CHECK_MS, signal);
    } catch (err) {
      if (signal.aborted) return;
      log.warn('the certificate could not be renewed yet, trying again', { component, err: describeError(err) });
      await delay(clock, RETRY_MS, signal).catch(() => {});
    }
  }
}

async function requestPair(
  { component, client, clock }: CredentialRenewalOptions,
  signal: AbortSignal,
): Promise<CertificateAndKey> {
  const { privateKey, privateKeyPem } = await generateKey();
  const pem = await renderSigningRequest(privateKey, { commonName: COMPONENT_USERS[component], organizations: [] });
  const api = client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);
  const { metadata } = await api.create(
    {
      metadata: { generateName: 'csr-' },
      spec: {
        signerName: 'kubernetes.io/kube-apiserver-client',
        request: Buffer.from(pem).toString('base64'),
        usages: ['digital signature', 'client auth'],
      },
    },
    signal,
  );
  const endMs = clock.monotonic() + PATIENCE_MS;
  while (clock.monotonic() < endMs) {
    const { status } = await api.fetch(metadata.name, undefined, signal);
    if (status?.certificate) {
      return { certificatePem: Buffer.from(status.certificate, 'base64').toString(), privateKeyPem };
    }
    const refusal = status?.conditions?.find(({ type }) => type === 'Denied' || type === 'Failed');
    if (refusal !== undefined) throw new Error(`${metadata.name} was ${refusal.type}: ${refusal.message ?? ''}`);
    await delay(clock, POLL_MS, signal);
  }
  throw new Error(`nobody has signed ${metadata.name} within ${PATIENCE_MS / 60_000} minutes`);
}
