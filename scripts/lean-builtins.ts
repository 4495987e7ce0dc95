import { isBuiltin } from 'node:module';
import type { Plugin } from 'esbuild';

/**
 * Node's own modules without the face that it gives them for `import`: making that reads every export, the lazy ones too, so that
 * `import 'node:http'` loads a whole fetch client and `import 'node:crypto'` the web's cryptography, at every start of every thread.
 * Here only those are read that somebody imports.
 */
export function leanBuiltins(): Plugin {
  return {
    name: 'lean-builtins',
    setup(build) {
      build.onResolve({ filter: /^/ }, ({ path, kind }) => {
        // Dynamic imports get a namespace object, and who asks for one wants the module late anyway.
        if (kind !== 'import-statement' || !isBuiltin(path)) return undefined;
        return { path: path.startsWith('node:') ? path : `node:${path}`, namespace: 'builtin' };
      });
      build.onLoad({ filter: /^/, namespace: 'builtin' }, ({ path }) => ({ contents: faceOf(path), loader: 'js' }));
    },
  };
}

const IDENTIFIER = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

function faceOf(path: string): string {
  const builtin = process.getBuiltinModule(path) as object;
  const names = Object.getOwnPropertyNames(builtin).filter((name) => name !== 'default' && IDENTIFIER.test(name));
  // `builtin` may be a function (node:assert), which is what its default import means as well.
  return [
    `const builtin = process.getBuiltinModule(${JSON.stringify(path)});`,
    'const read = (name) => builtin[name];',
    'export default builtin;',
    ...names.map(
      (name, i) => `const e${i} = /* @__PURE__ */ read(${JSON.stringify(name)}); export { e${i} as ${name} };`,
    ),
  ].join('\n');
}
