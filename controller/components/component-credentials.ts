import { join } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { type CertificateAndKey, readPair } from '../pki/cluster-pki.ts';
import { readFileIfPresent } from '../pki/durable-file.ts';
import type { ApiComponent } from './components.ts';

/** What a process without an API server shows to those of others. */
export interface ComponentCredentials {
  readonly caPem: string;
  /** Client certificates; cloud-controller-manager has none while nothing runs under its name. */
  readonly pairs: ReadonlyMap<ApiComponent, CertificateAndKey>;
}

/** Reads `ca.crt` and `<component>.crt` and `.key` of the folder. Throws ConfigError that tells how to come by what is missing. */
export async function openComponentCredentials(
  dir: string,
  components: readonly ApiComponent[],
): Promise<ComponentCredentials> {
  const caPem = await readFileIfPresent(join(dir, 'ca.crt'));
  if (caPem === undefined) throw missing(`${dir} holds no ca.crt`);
  const pairs = new Map<ApiComponent, CertificateAndKey>();
  for (const component of components.filter((name) => name !== 'cloud-controller-manager')) {
    const pair = await readPair(dir, component);
    if (pair === undefined) throw missing(`${dir} holds no ${component}.crt and ${component}.key`);
    pairs.set(component, pair);
  }
  return { caPem, pairs };
}

const missing = (what: string): ConfigError =>
  new ConfigError(
    `${what}: make a token on a machine with an API server ("coracle token create --controller") and start this one with --join <token>`,
  );
