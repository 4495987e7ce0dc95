import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { sealingKeysPath } from './sealing-config.ts';
import { readBackendNote, refuseLostState } from './state-backend.ts';
import { type Diagnosis, type DoctorReport, examineStore } from './store/integrity/doctor.ts';
import { databasePath } from './store/integrity/inspect.ts';
import { readRingFile } from './store/seal/key-ring.ts';
import { findSealingKeyNames } from './store/seal/sealing-key-names.ts';

/** Part of the command's face: scripts tell by it what to do. 2 is a wrong command line. */
const EXIT_CODES: Readonly<Record<Diagnosis, number>> = { healthy: 0, recoverable: 1, lost: 3, busy: 4 };

/** `coracle doctor store [folder]`: prints what it finds, and answers the exit code. */
export async function runDoctor(argv: readonly string[], dataDir: string): Promise<number> {
  const [subject, folder = dataDir, ...rest] = argv;
  if (subject !== 'store' || rest.length > 0)
    throw new ConfigError(
      'usage: coracle doctor store [data directory], coracle doctor nodes, coracle doctor network, or coracle doctor host',
    );
  const { diagnosis, lines } = await examine(folder);
  for (const line of lines) console.log(line);
  return EXIT_CODES[diagnosis];
}

/** `folder` is a data directory, or the store in one. */
async function examine(folder: string): Promise<DoctorReport> {
  const isStore = existsSync(databasePath(folder));
  const dataDir = isStore ? dirname(folder) : folder;
  const dir = isStore ? folder : join(folder, 'store');
  if ((await readBackendNote(dataDir)) === 'etcd')
    throw new ConfigError(`the state of the cluster of ${dataDir} is in etcd: ask "etcdctl endpoint health --cluster"`);
  try {
    await refuseLostState(dataDir, 'sqlite');
  } catch (err) {
    if (err instanceof ConfigError) return { diagnosis: 'lost', lines: [err.message] };
    throw err;
  }
  const report = examineStore(existsSync(dir) ? dir : folder);
  const missing = report.diagnosis === 'busy' ? [] : keysMissing(dir, dataDir);
  if (missing.length === 0) return report;
  return { diagnosis: 'lost', lines: [...report.lines, ...missing] };
}

/** Why the values would not open, though the store is whole. */
function keysMissing(dir: string, dataDir: string): readonly string[] {
  const path = sealingKeysPath(dataDir);
  let known: ReadonlySet<string>;
  try {
    known = new Set(readRingFile(path).map(({ name }) => name));
  } catch (err) {
    return [`found: ${(err as Error).message}`];
  }
  const used = findSealingKeyNames([databasePath(dir), `${databasePath(dir)}-wal`]);
  return [...used]
    .filter((name) => !known.has(name))
    .map(
      (name) => `found: values are sealed under "${name}", which is not in ${path}: a start refuses until it is back`,
    );
}
