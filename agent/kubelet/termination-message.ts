import type { ContainerStatus } from '../cri/runtime.ts';
import type { FileSystem } from '../host/host.ts';
import type { PodPaths } from './config/pod-paths.ts';
import type { PodIdentity } from './runtime-cache.ts';
import { ANNOTATION } from './runtime-labels.ts';

/** Kubernetes' limits: of the file, and of the log where it stands in. */
const MAX_BYTES = 4096;
const MAX_LOG_BYTES = 2048;
const MAX_LOG_LINES = 80;
/** Enough of a CRI log's end to hold MAX_LOG_LINES of ordinary length. */
const LOG_TAIL_BYTES = 16_384;

/** What a container said about its end: its termination log, or with `FallbackToLogsOnError` the end of its output; else the runtime's words. */
export async function terminationMessage(
  fs: FileSystem,
  paths: PodPaths,
  { uid }: PodIdentity,
  status: ContainerStatus,
): Promise<string> {
  const { name, attempt, annotations, exitCode, logPath } = status;
  const written = await readTail(fs, paths.terminationLog(uid, name, attempt), MAX_BYTES);
  if (written !== '') return written;
  const isFallback = annotations[ANNOTATION.terminationMessagePolicy] === 'FallbackToLogsOnError';
  if (!isFallback || exitCode === 0) return status.message;
  const lines = (await readTail(fs, logPath, LOG_TAIL_BYTES)).split('\n').map(withoutPrefix);
  return (
    lines
      .slice(-MAX_LOG_LINES - 1)
      .join('\n')
      .slice(-MAX_LOG_BYTES) || status.message
  );
}

/** CRI log lines: time, stream, tag, text. */
const withoutPrefix = (line: string) => line.split(' ').slice(3).join(' ');

async function readTail(fs: FileSystem, path: string, maxBytes: number): Promise<string> {
  if ((await fs.info(path))?.type !== 'file') return '';
  const file = await fs.open(path);
  try {
    const size = await file.sizeBytes();
    const bytes = await file.read(Math.max(0, size - maxBytes), maxBytes);
    return new TextDecoder().decode(bytes);
  } finally {
    await file.close();
  }
}
