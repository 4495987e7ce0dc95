import type { PersistentVolume } from '#api/object/kinds.ts';
import { PROVISIONED_BY } from '#api/storage/claims.ts';
import { temporaryFolderNames } from '#api/storage/temporary-folder-names.ts';
import type { Notice } from './storage-view.ts';

/** What becomes of a volume whose claim is gone. */
export type ReclaimAction =
  /** A person's turn, or the provisioner's. */
  | { readonly kind: 'leave' }
  /** The folder on this host, then the object. */
  | { readonly kind: 'removeFolder'; readonly path: string }
  | { readonly kind: 'fail'; readonly notice: Notice };

const BUILT_IN = 'kubernetes.io/host-path';

const fail = (reason: string, message: string): ReclaimAction => ({
  kind: 'fail',
  notice: { type: 'Warning', reason, message },
});

/** Pure. */
export function decideReclaim({ metadata, spec }: PersistentVolume): ReclaimAction {
  switch (spec?.persistentVolumeReclaimPolicy ?? 'Retain') {
    case 'Retain':
      return { kind: 'leave' };
    case 'Recycle':
      return fail('VolumeFailedRecycle', 'No recycler plugin found for the volume!');
    default:
      break;
  }
  const provisioner = metadata.annotations?.[PROVISIONED_BY] ?? BUILT_IN;
  if (provisioner !== BUILT_IN) return { kind: 'leave' };
  const path = spec?.hostPath?.path;
  if (path === undefined) {
    const message = `error getting deleter volume plugin for volume "${metadata.name}": no deletable volume plugin matched`;
    return fail('VolumeFailedDelete', message);
  }
  // All that Kubernetes removes of a host: it has hostPath deletion for trying things out.
  if (temporaryFolderNames(path) !== undefined) return { kind: 'removeFolder', path };
  return fail('VolumeFailedDelete', `host_path deleter only supports /tmp/.+ but received provided ${path}`);
}
