import { execFile, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CutReport } from './crash/check-cuts.ts';
import type { DestructionReport } from './crash/check-destroyed.ts';
import { recordTrace } from './crash/system-call-trace.ts';

const canTrace = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true']).status === 0;
if (!canTrace) console.warn('the crash matrix is skipped: strace is missing or may not trace');

const PATIENCE_MS = 240_000;
/** Another one shows other states. */
const SEED = process.env.CRASH_SEED ?? '1';
/** 1000: ten times as many cuts. */
const PERCENT = process.env.CRASH_PERCENT ?? '100';
const MUTANT_PERCENT = '15';

const run = promisify(execFile);
const scripts = join(import.meta.dirname, 'crash');
const nodeFlags = ['--disable-warning=ExperimentalWarning', '--import', join(scripts, 'mutate.ts')];

describe.skipIf(!canTrace)(
  'the crash matrix, at indices of a recorded trace of system calls',
  { timeout: PATIENCE_MS },
  () => {
    let root: string;
    /** Where states are laid out: in memory, because they are many. */
    let scratch: string;
    let honest: { readonly trace: string; readonly folder: string };

    const record = async (name: string, mutant?: string) => {
      const folder = join(root, name);
      mkdirSync(folder);
      const environment = mutant === undefined ? [] : ['env', `MUTANT=${mutant}`];
      const argv = [...environment, process.execPath, ...nodeFlags, join(scripts, 'workload.ts'), folder];
      await recordTrace(argv, `${folder}.trace`);
      return { trace: `${folder}.trace`, folder };
    };
    const check = async <Report>(
      script: string,
      of: typeof honest,
      options: { mutant?: string; percent?: string; enough?: RegExp } = {},
    ) => {
      const { mutant, percent = PERCENT, enough } = options;
      const dir = mkdtempSync(join(scratch, 'states-'));
      const env = { ...process.env, ...(mutant === undefined ? {} : { MUTANT: mutant }) };
      const argv = [...nodeFlags, join(scripts, script), of.trace, of.folder, dir, SEED, percent];
      if (enough !== undefined) argv.push(enough.source);
      const { stdout } = await run(process.execPath, argv, { env, maxBuffer: 64 * 2 ** 20 });
      rmSync(dir, { recursive: true });
      return JSON.parse(stdout) as Report;
    };

    beforeAll(async () => {
      root = mkdtempSync(join(tmpdir(), 'coracle-crash-'));
      scratch = existsSync('/dev/shm') ? mkdtempSync('/dev/shm/coracle-crash-') : root;
      honest = await record('honest');
    }, PATIENCE_MS);
    afterAll(() => {
      for (const folder of new Set([root, scratch])) rmSync(folder, { recursive: true, force: true });
    });

    it('loses nothing and raises no alarm at 2,000 cuts and more that an honest disk can leave', async () => {
      const { states, byPhase, wholeStores, failures } = await check<CutReport>('check-cuts.ts', honest);
      expect(failures.slice(0, 10)).toEqual([]);
      expect(failures).toHaveLength(0);
      console.log(`cuts: ${states} ${JSON.stringify(byPhase)}, ${wholeStores} with the disk thread`);
      expect(states).toBeGreaterThanOrEqual(2_000);
      for (const phase of ['checkpoint', 'compaction', 'vacuum', 'snapshot', 'creation', 'commit'] as const)
        expect([phase, byPhase[phase] ?? 0]).toEqual([phase, expect.toSatisfy((count: number) => count >= 100)]);
      expect(wholeStores).toBeGreaterThanOrEqual(40);
    });

    it('notices and names what was destroyed, in 500 cases and more', async () => {
      const { cases, byWay, unnoticed } = await check<DestructionReport>('check-destroyed.ts', honest);
      console.log(`destroyed: ${cases} ${JSON.stringify(byWay)}`);
      expect(unnoticed).toEqual([]);
      expect(cases).toBeGreaterThanOrEqual(500);
      expect(Object.keys(byWay)).toHaveLength(6);
    });

    it.each([
      ['acknowledges before the fsync', /was acknowledged/],
      ['folds before its evidence is durable', /false alarm|failed start/],
      ['writes over the sums in force', /false alarm|failed start/],
    ])('fails with a build that %s', async (mutant, finding) => {
      const trace = await record(mutant.replaceAll(' ', '-'), mutant);
      const { failures } = await check<CutReport>('check-cuts.ts', trace, { percent: MUTANT_PERCENT, enough: finding });
      expect(failures.map(({ what }) => what)).toContainEqual(expect.stringMatching(finding));
    });

    it('fails with a build that reuses revisions', async () => {
      const options = { mutant: 'reuses revisions', percent: MUTANT_PERCENT, enough: /revisions begin again/ };
      const { failures } = await check<CutReport>('check-cuts.ts', honest, options);
      expect(failures.map(({ what }) => what)).toContainEqual(expect.stringContaining('revisions begin again'));
    });

    it.each(['skips the checksums of pages', 'skips the checksums of the WAL', 'does not look at the commit mark'])(
      'fails with a build that %s',
      async (mutant) => {
        const { unnoticed } = await check<DestructionReport>('check-destroyed.ts', honest, {
          mutant,
          percent: MUTANT_PERCENT,
        });
        expect(unnoticed).not.toEqual([]);
      },
    );
  },
);
