/** What a certificate signing request asks for. */
export interface RequestedCertificate {
  readonly subject: { readonly commonName: string; readonly organizations: readonly string[] };
  readonly dnsNames: readonly string[];
  readonly addresses: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  readonly otherSubjectAttributes: readonly string[];
}

/** The holder of the CA's key, handed in by the composition root (controller/pki/csr-signer.ts). */
export interface CertificateSigner {
  readonly signerNames: readonly string[];
  /** Undefined when the PEM is no valid PKCS #10 request. */
  inspect(requestPem: string): Promise<RequestedCertificate | undefined>;
  /** Why the request breaks its signer's rules, or undefined. */
  problem(signerName: string, request: RequestedCertificate, usages: readonly string[]): string | undefined;
  sign(order: {
    readonly signerName: string;
    readonly requestPem: string;
    readonly usages: readonly string[];
    readonly expirationSeconds: number | undefined;
  }): Promise<{ readonly certificatePem: string } | { readonly refused: string }>;
}
