import { ApiError } from '#api/object/api-error.ts';
import { describeError } from '#base/errors.ts';

/** Node's codes for a certificate whose issuer is not among the trusted ones. */
const UNKNOWN_AUTHORITY: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

interface NodeNetworkError {
  readonly code?: string;
  readonly address?: string;
  readonly port?: number;
  readonly hostname?: string;
  readonly host?: string;
  readonly cert?: { readonly subjectaltname?: string };
}

/**
 * Why a connection failed, in the words of Go's net and crypto packages: people search for these sentences, and runbooks and tests of
 * webhooks compare them.
 */
export function describeNetworkError(err: unknown): string {
  if (err instanceof ApiError) {
    const { cause } = err;
    return cause === undefined || !isCoded(cause) ? err.message : describeNetworkError(cause);
  }
  const { code = '', address, port, hostname, host, cert } = (err ?? {}) as NodeNetworkError;
  const peer = address === undefined ? '' : ` ${address.includes(':') ? `[${address}]` : address}:${port}`;
  if (UNKNOWN_AUTHORITY.has(code)) return verificationFailure('certificate signed by unknown authority');
  switch (code) {
    case 'ECONNREFUSED':
      return `dial tcp${peer}: connect: connection refused`;
    case 'EHOSTUNREACH':
      return `dial tcp${peer}: connect: no route to host`;
    case 'ENETUNREACH':
      return `dial tcp${peer}: connect: network is unreachable`;
    case 'ETIMEDOUT':
      return `dial tcp${peer}: i/o timeout`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `dial tcp: lookup ${hostname}: no such host`;
    case 'ECONNRESET':
    case 'HPE_INVALID_EOF_STATE':
      return 'EOF';
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      return verificationFailure('certificate has expired or is not yet valid');
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return verificationFailure(wrongName(cert?.subjectaltname ?? '', host ?? ''));
    case 'EPROTO':
      return 'http: server gave HTTP response to HTTPS client';
    default:
      return describeError(err);
  }
}

const isCoded = (err: unknown) => typeof (err as NodeNetworkError | undefined)?.code === 'string';

const verificationFailure = (why: string) => `tls: failed to verify certificate: x509: ${why}`;

function wrongName(altNames: string, wanted: string): string {
  const names = altNames
    .split(', ')
    .map((name) => name.replace(/^(?:DNS|IP Address):/, ''))
    .filter((name) => name !== '');
  return names.length === 0
    ? `certificate is not valid for any names, but wanted to match ${wanted}`
    : `certificate is valid for ${names.join(', ')}, not ${wanted}`;
}
