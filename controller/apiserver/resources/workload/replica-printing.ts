import type { ReplicaSet, ReplicationController } from '#api/object/kinds.ts';
import type { TableColumn } from '../../registry/resource-definition.ts';
import { age, containerCells } from '../printing/cells.ts';
import { ageColumn, containerColumns, integer, nameColumn, selectorColumn } from '../printing/columns.ts';

/** What both kinds show that count pods and nothing more. */
export const replicaColumns: readonly TableColumn[] = [
  nameColumn,
  integer('Desired', 'Number of pods asked for.'),
  integer('Current', 'Number of pods that exist.'),
  integer('Ready', 'Number of pods that are ready.'),
  ageColumn,
  ...containerColumns,
  selectorColumn,
];

/** `selector` is that of the object, as text: the two kinds have it in different forms. */
export const replicaRow = (
  { metadata, spec, status }: ReplicaSet | ReplicationController,
  selector: string,
  nowMs: number,
) => [
  metadata.name,
  spec?.replicas ?? 0,
  status?.replicas ?? 0,
  status?.readyReplicas ?? 0,
  age({ metadata }, nowMs),
  ...containerCells(spec?.template?.spec?.containers),
  selector,
];
