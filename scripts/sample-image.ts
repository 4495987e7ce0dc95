import { createExecutor } from '#agent/host/executor.ts';
import { renderBusyboxArchive } from '#test/kit/image-archive.ts';

/** For first pods: made from the host's busybox, so that no registry is needed. */
export const SAMPLE_IMAGE = 'coracle.dev/sample:1';

/** Gives the image to the runtime behind the socket, where it lacks it. */
export async function importSampleImage(socket: string): Promise<void> {
  const exec = createExecutor();
  const ctr = ['ctr', '--address', socket, '--namespace', 'k8s.io', 'images'] as const;
  const { stdout } = await exec.run([...ctr, 'list', '--quiet']);
  if (stdout.split('\n').includes(SAMPLE_IMAGE)) return;
  await exec.run([...ctr, 'import', '--no-unpack', '-'], { stdin: renderBusyboxArchive(SAMPLE_IMAGE) });
}
