import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { ControllerConfig } from './config.ts';
import { parseEncryptionConfiguration } from './store/seal/encryption-configuration.ts';
import { planSealing, type SealingChoice, type SealingPlan, type StoredResource } from './store/seal/sealing-plan.ts';

type SealingKeys = Pick<ControllerConfig, 'dataDir' | 'encryptSecrets' | 'encryptionProviderConfig'>;

/** Where the keys lie that Coracle makes itself. */
export const sealingKeysPath = (dataDir: string): string => join(dataDir, 'seal', 'keys.json');

/** What the configuration says of sealing; absent `definitions` are looked up. Throws ConfigError where the file is missing or wrong. */
export async function readSealingPlan(
  config: SealingKeys,
  definitions?: readonly StoredResource[],
): Promise<SealingPlan> {
  const configuration = await readConfiguration(config.encryptionProviderConfig);
  const { dataDir, encryptSecrets } = config;
  const resources = definitions ?? (configuration === undefined ? [] : await builtinDefinitions());
  return planSealing({ ringPath: sealingKeysPath(dataDir), encryptSecrets, configuration }, resources);
}

/** For commands that have no API server: where the kinds lie does not depend on how they are served. */
async function builtinDefinitions(): Promise<readonly StoredResource[]> {
  const { builtinResources } = await import('./apiserver/resources/builtin-resources.ts');
  return builtinResources({
    podSubresources: [],
    nodeSubresources: [],
    serviceSubresources: [],
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
  });
}

async function readConfiguration(path: string): Promise<SealingChoice['configuration']> {
  if (path === '') return undefined;
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new ConfigError(`encryptionProviderConfig: ${describeError(err)}`);
  }
  try {
    return { name: path, entries: parseEncryptionConfiguration(parse(text), path) };
  } catch (err) {
    throw err instanceof ConfigError ? err : new ConfigError(`${path}: ${describeError(err)}`);
  }
}
