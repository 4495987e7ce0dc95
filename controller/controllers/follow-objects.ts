import type { Informer } from '#api/client/informer.ts';
import type { Stored } from '#api/object/kube-object.ts';

/**
 * Registers for all that happens to a kind of object where what it was before does not matter: `changed` for what is there, comes or changes,
 * `gone` for what goes.
 */
export function followObjects<T extends Stored<object>>(
  informer: Pick<Informer<T>, 'addHandler'>,
  changed: (object: T) => void,
  gone?: (object: T) => void,
): void {
  informer.addHandler({
    onAdd: changed,
    onUpdate: (_before, object) => changed(object),
    ...(gone === undefined ? {} : { onDelete: gone }),
  });
}
