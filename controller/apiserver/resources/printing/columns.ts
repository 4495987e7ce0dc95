import type { TableColumn } from '../../registry/resource-definition.ts';

/** A column that is always shown. */
export function column(name: string, type: TableColumn['type'], description: string): TableColumn {
  return { name, type, priority: 0, description };
}

/** A string column that `-o wide` alone shows. */
export function wideColumn(name: string, description: string): TableColumn {
  return { name, type: 'string', priority: 1, description };
}

export const text = (name: string, description: string): TableColumn => column(name, 'string', description);
export const integer = (name: string, description: string): TableColumn => column(name, 'integer', description);

export const nameColumn: TableColumn = {
  name: 'Name',
  type: 'string',
  format: 'name',
  priority: 0,
  description: 'Name of the object, unique among its kind within the namespace.',
};

export const ageColumn: TableColumn = text('Age', 'Time since the object was created.');

/** What Kubernetes shows of kinds that have no printer of their own. */
export const createdAtColumn: TableColumn = column('Created At', 'date', 'When the object was created.');

export function createdAtOf(object: { metadata: { creationTimestamp?: string | null } }): string {
  return object.metadata.creationTimestamp ?? '<unknown>';
}

export const containerColumns: readonly TableColumn[] = [
  wideColumn('Containers', 'Names of the containers in the pod template.'),
  wideColumn('Images', 'Images of the containers in the pod template.'),
];

export const selectorColumn: TableColumn = wideColumn('Selector', 'Label selector of the pods.');
