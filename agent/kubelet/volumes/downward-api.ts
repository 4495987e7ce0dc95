import { fieldRefValue, resourceFieldValue } from '../config/field-ref.ts';
import { findContainer } from '../pod-spec.ts';
import {
  encodeText,
  safePath,
  type VolumeContext,
  VolumeError,
  type VolumeFile,
  type VolumeKind,
} from './volume-kind.ts';

interface DownwardItem {
  readonly path: string;
  readonly mode?: number;
  readonly fieldRef?: { readonly fieldPath: string };
  readonly resourceFieldRef?: {
    readonly resource: string;
    readonly containerName?: string;
    readonly divisor?: string | number;
  };
}

export const downwardApi: VolumeKind = {
  type: 'payload',
  plugin: 'kubernetes.io~downward-api',
  isVolatile: false,
  async render(context, volume) {
    const { items = [], defaultMode } = volume.downwardAPI ?? {};
    return { files: downwardFiles(context, items, defaultMode) };
  },
};

/** Shared with projected volumes. */
export function downwardFiles(
  context: VolumeContext,
  items: readonly DownwardItem[],
  defaultMode = 0o644,
): Map<string, VolumeFile> {
  const files = new Map<string, VolumeFile>();
  for (const item of items)
    files.set(safePath(item.path), { content: encodeText(itemValue(context, item)), mode: item.mode ?? defaultMode });
  return files;
}

function itemValue({ pod, allocatable }: VolumeContext, item: DownwardItem): string {
  if (item.fieldRef !== undefined) return fieldRefValue(pod, item.fieldRef.fieldPath);
  const ref = item.resourceFieldRef;
  const container = findContainer(pod, ref?.containerName ?? '');
  if (ref === undefined || container === undefined)
    throw new VolumeError(`container ${ref?.containerName ?? ''} of downward API file ${item.path} not found`);
  return resourceFieldValue(container, ref, allocatable);
}
