import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const STEPS_PER_COLLECTION = 50;

/**
 * By how many bytes the old generation grows while `step` runs `steps` times with nothing but collections of the young one in between: what
 * outlives its request only because something that is garbage itself still points to it.
 */
export function promotedBytes(steps: number, step: (i: number) => void): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options?: { type: 'minor' }) => void;
  const run = () => {
    for (let i = 0; i < steps; i++) {
      step(i);
      if (i % STEPS_PER_COLLECTION === 0) collect({ type: 'minor' });
    }
  };
  // Once beforehand: code and feedback of the step grow old as well.
  run();
  collect();
  const before = oldBytes();
  run();
  return oldBytes() - before;
}

const oldBytes = () =>
  getHeapSpaceStatistics()
    .filter(({ space_name }) => space_name === 'old_space' || space_name === 'large_object_space')
    .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
