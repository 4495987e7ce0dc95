import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';

/** The YAML of a configuration file. A module of its own, loaded only where there is a file: the parser costs memory. */
export function readConfigFile(path: string): unknown {
  try {
    return parse(readFileSync(path, 'utf8'));
  } catch (err) {
    throw new ConfigError(`${path}: ${describeError(err)}`);
  }
}
