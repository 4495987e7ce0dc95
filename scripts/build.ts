/**
 * usage: node scripts/build.ts [folder]
 *
 * Bundles everything that is measured or installed into out/, or into the folder that is named, whose content is replaced: running from
 * sources costs 37 MB of resident memory for the type stripper. One entry per thread, code shared between them in chunks, so that
 * `coracle agent` never loads the controller.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join, normalize, resolve } from 'node:path';
import { build } from 'esbuild';
import { leanBuiltins } from './lean-builtins.ts';

const root = normalize(join(import.meta.dirname, '..'));
const outdir = resolve(process.argv[2] ?? join(root, 'out'));

rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });

await build({
  absWorkingDir: root,
  entryPoints: {
    coracle: 'bin/coracle.ts',
    'sqlite-worker': 'controller/store/sqlite-worker.ts',
    brain: 'controller/brain.ts',
    'dns-thread': 'agent/dns-thread.ts',
  },
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node26',
  // A dynamic import of a CommonJS build would have no named exports once bundled.
  mainFields: ['module', 'main'],
  // Names stay: stack traces and profiles are read by people, and the alternative (keepNames) names every closure anew where it is made.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  plugins: [leanBuiltins()],
  sourcemap: 'linked',
  logLevel: 'warning',
  // CommonJS dependencies ask for `require`, which an ES module does not have.
  banner: {
    js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
  },
});
