import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { COMPONENT_VERSION } from '#base/version.ts';
import { type Result, renderTable } from './result.ts';

/** Loaded on demand: one case may need what another does not. */
const CASES: Readonly<Record<string, () => Promise<readonly Result[]>>> = {
  api: async () => (await import('./api-load.ts')).measureApi(),
  fleet: async () => (await import('./fleet-scale.ts')).measureFleet(),
  ha: async () => (await import('./several-controllers.ts')).measureSeveralControllers(),
  pods: async () => (await import('./pod-start.ts')).measurePods(),
  store: async () => (await import('./store.ts')).measureStore(),
  'idle-io': async () => (await import('./idle-io.ts')).measureIdleIo(),
  'slow-disk': async () => (await import('./slow-disk.ts')).measureSlowDisk(),
  dns: async () => (await import('./dns.ts')).measureDns(),
  'proxy-scale': async () => (await import('./proxy-scale.ts')).measureProxyScale(),
  proxy: async () => (await import('./proxy-sync.ts')).measureProxy(),
};

/** Minutes each: only where they are asked for. */
const LONG: ReadonlySet<string> = new Set(['idle-io', 'slow-disk', 'proxy-scale']);

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => CASES[name] === undefined);
if (unknown.length > 0) {
  console.error(`bench: unknown case ${unknown.join(', ')}; known: ${Object.keys(CASES).join(', ')}`);
  process.exit(2);
}

const results: Result[] = [];
for (const [name, measure] of Object.entries(CASES)) {
  if (asked.length > 0 ? !asked.includes(name) : LONG.has(name)) continue;
  console.error(`bench: ${name} ...`);
  results.push(...(await measure()));
}

const folder = join(import.meta.dirname, 'results');
mkdirSync(folder, { recursive: true });
const machine = { cpu: cpus()[0]?.model, cores: cpus().length, kernel: release() };
writeFileSync(
  join(folder, 'latest.json'),
  `${JSON.stringify({ version: COMPONENT_VERSION, date: new Date().toISOString(), machine, results }, null, 2)}\n`,
);
console.log(renderTable(results));
process.exit();
