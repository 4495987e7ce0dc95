import { spawn } from 'node:child_process';
import { join } from 'node:path';

/** An image with busybox whose one tag is `1`. */
export interface RegistryImage {
  readonly repository: string;
  /** `user:password`; absent: whoever comes may have it. */
  readonly owner?: string;
  readonly stopSignal?: string;
}

export interface ImageRegistry {
  /** Digests of the manifests, by repository. */
  readonly digests: Readonly<Record<string, string>>;
  stop(): void;
}

/** A registry on 127.0.0.1 of the network that `enter` leads to; resolves once it answers. */
export async function startImageRegistry(
  enter: readonly string[],
  port: number,
  images: readonly RegistryImage[],
): Promise<ImageRegistry> {
  const script = join(import.meta.dirname, 'image-registry-child.ts');
  const [program = '', ...args] = [...enter, process.execPath, script, String(port), JSON.stringify(images)];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the registry ended with ${code}`)));
    child.stdout.once('data', (data: Buffer) => resolve(data.toString()));
  });
  return { digests: JSON.parse(line) as Record<string, string>, stop: () => child.kill('SIGKILL') };
}
