import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import type { ResourceDefinition } from './apiserver/registry/resource-definition.ts';
import type { ControllerConfig } from './config.ts';
import { parseEncryptionConfiguration } from './store/seal/encryption-configuration.ts';
import { planSealing, type SealingChoice, type SealingPlan } from './store/seal/sealing-plan.ts';

type SealingKeys = Pick<ControllerConfig, 'dataDir' | 'encryptSecrets' | 'encryptionProviderConfig'>;

/** Where the keys lie that Coracle makes itself. */
export const sealingKeysPath = (dataDir: string): string => join(dataDir, 'seal', 'keys.json');

/** What the configuration says of sealing. Throws ConfigError where the file is missing or wrong. */
export async function readSealingPlan(
  config: SealingKeys,
  definitions: readonly ResourceDefinition[],
): Promise<SealingPlan> {
  const configuration = await readConfiguration(config.encryptionProviderConfig);
  const { dataDir, encryptSecrets } = config;
  return planSealing({ ringPath: sealingKeysPath(dataDir), encryptSecrets, configuration }, definitions);
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
