import type { WorkQueue } from '#api/client/work-queue.ts';
import { deepEqual } from '#api/object/deep-equal.ts';
import type { PersistentVolume } from '#api/object/kinds.ts';
import { keyOf, type ObjectKey } from '#api/object/kube-object.ts';
import { describeError } from '#base/errors.ts';
import type { ControllerContext } from '../controller-context.ts';
import type { BindingWriter } from './binding-writer.ts';
import { decideReclaim } from './decide-reclaim.ts';
import type { Notice } from './storage-view.ts';

/** A folder that cannot be removed now is tried again. */
const RETRY_MS = 2 * 60_000;

export interface VolumeReclaimerOptions {
  readonly context: ControllerContext;
  readonly writer: BindingWriter;
  readonly queue: WorkQueue<ObjectKey>;
}

/** Does with a volume whose claim is gone what its policy says. */
export class VolumeReclaimer {
  readonly #options: VolumeReclaimerOptions;

  constructor(options: VolumeReclaimerOptions) {
    this.#options = options;
  }

  async release(volume: PersistentVolume): Promise<void> {
    const { context, writer, queue } = this.#options;
    const { phase } = volume.status ?? {};
    // What failed stays so until it succeeds.
    const released = phase === 'Failed' ? volume : await writer.setVolumePhase(volume, 'Released');
    const action = decideReclaim(released);
    if (action.kind === 'leave') return;
    if (action.kind === 'fail') return this.#fail(released, action.notice);
    if (!(await this.#isStillDue(released))) return;
    try {
      await context.config.removeFolder(action.path);
    } catch (err) {
      queue.addAfter(keyOf(volume), RETRY_MS);
      const message = describeError(err);
      return this.#fail(released, { type: 'Warning', reason: 'VolumeFailedDelete', message });
    }
    context.log.info('the folder of a released volume is gone', { volume: volume.metadata.name, path: action.path });
    await writer.deleteVolume(released);
  }

  /** By the API's own word: caches are late, and nobody brings a folder back whose volume was to be kept a moment ago. */
  async #isStillDue(volume: PersistentVolume): Promise<boolean> {
    const current = await this.#options.writer.fetchVolume(volume.metadata.name);
    return (
      current !== undefined &&
      current.metadata.uid === volume.metadata.uid &&
      current.spec?.claimRef?.uid === volume.spec?.claimRef?.uid &&
      deepEqual(decideReclaim(current), decideReclaim(volume))
    );
  }

  async #fail(volume: PersistentVolume, { type, reason, message }: Notice): Promise<void> {
    const { context, writer } = this.#options;
    if (volume.status?.phase === 'Failed' && volume.status.message === message) return;
    await writer.setVolumePhase(volume, 'Failed', message);
    context.events.record(volume, type, reason, message);
  }
}
