import { type LabelSelectorObject, labelSelectorFrom } from '#api/meta/label-selector.ts';
import type { KubeObject } from '#api/object/kube-object.ts';
import type { SubresourceDefinition, Tabular } from '../registry/resource-definition.ts';
import { age } from './printing/cells.ts';
import { ageColumn, integer, text } from './printing/columns.ts';

interface Scalable {
  readonly spec?: { readonly replicas?: number; readonly selector?: unknown };
  readonly status?: { readonly replicas?: number };
}

/** What `kubectl get --subresource=scale` prints. */
export const scaleTable: Tabular = {
  columns: [
    text('Name', 'Name of what is scaled.'),
    integer('Desired', 'Replicas that are wanted.'),
    integer('Available', 'Replicas that are there.'),
    ageColumn,
  ],
  tableRow(object, nowMs) {
    const { spec, status } = object as Scalable;
    return [object.metadata.name ?? '', spec?.replicas ?? 0, status?.replicas ?? 0, age(object, nowMs)];
  },
};

/** What a Scale shares with its workload; its resourceVersion lets a conditional scale fail as it should. */
function metadataOf({ metadata }: KubeObject): KubeObject['metadata'] {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  return { name, namespace, uid, resourceVersion, creationTimestamp };
}

/** The Scale of anything with spec.replicas, spec.selector and status.replicas; `selectorText` reads its form of selector. */
function scaleWith(selectorText: (selector: unknown) => string): SubresourceDefinition {
  return {
    name: 'scale',
    verbs: ['get', 'patch', 'update'],
    kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' },
    face: {
      table: scaleTable,
      get(object) {
        const { spec, status } = object as Scalable;
        const selector = selectorText(spec?.selector);
        return {
          apiVersion: 'autoscaling/v1',
          kind: 'Scale',
          metadata: metadataOf(object),
          spec: spec?.replicas ? { replicas: spec.replicas } : {},
          status: { replicas: status?.replicas ?? 0, ...(selector === '' ? {} : { selector }) },
        };
      },
      apply(face, object) {
        const { replicas = 0 } = (face.spec ?? {}) as { replicas?: number };
        return { ...object, spec: { ...(object.spec as object), replicas } };
      },
    },
  };
}

export const scale: SubresourceDefinition = scaleWith((selector) =>
  labelSelectorFrom(selector as LabelSelectorObject | undefined).toString(),
);

/** ReplicationControllers select by a plain map of labels. */
export const scaleByLabels: SubresourceDefinition = scaleWith((selector) =>
  labelSelectorFrom({ matchLabels: (selector ?? {}) as Record<string, string> }).toString(),
);
