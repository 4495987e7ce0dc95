import type { StoredObject, WriteDecision, WriteResult } from '../../store/store.ts';
import type { RequestContext } from '../chain/request-context.ts';
import type { RegistryServices } from './registry-services.ts';

/** A request's write. From here on it waits for the disk alone, and says so. */
export function writeToStore(
  { store }: RegistryServices,
  context: RequestContext,
  key: string,
  decide: (current: StoredObject | undefined) => WriteDecision,
): Promise<WriteResult> {
  const written = store.write(key, decide);
  context.onHandedToStore?.();
  return written;
}
