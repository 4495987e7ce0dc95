import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { COMPONENT_VERSION } from './version.ts';

it('COMPONENT_VERSION is the version of package.json', () => {
  const manifest = JSON.parse(readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')) as {
    version: string;
  };
  expect(COMPONENT_VERSION).toBe(manifest.version);
});
