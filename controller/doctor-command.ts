import { join } from 'node:path';
import { ConfigError } from '#base/config.ts';
import { type Diagnosis, examineStore } from './store/integrity/doctor.ts';

/** Part of the command's face: scripts tell by it what to do. 2 is a wrong command line. */
const EXIT_CODES: Readonly<Record<Diagnosis, number>> = { healthy: 0, recoverable: 1, lost: 3, busy: 4 };

/** `coracle doctor store [folder]`: prints what it finds, and answers the exit code. */
export function runDoctor(argv: readonly string[], dataDir: string): number {
  const [subject, folder, ...rest] = argv;
  if (subject !== 'store' || rest.length > 0) throw new ConfigError('usage: coracle doctor store [folder]');
  const { diagnosis, lines } = examineStore(folder ?? join(dataDir, 'store'));
  for (const line of lines) console.log(line);
  return EXIT_CODES[diagnosis];
}
