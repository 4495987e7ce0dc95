import { required } from '#api/object/field-error.ts';
import type { PodTemplate } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { validatePodTemplate } from './pod/validation.ts';
import { templateWarnings } from './pod/warnings.ts';
import { containerCells, formatLabels } from './printing/cells.ts';
import { nameColumn, text } from './printing/columns.ts';

export const podTemplates: ResourceDefinition = defineResource<PodTemplate>({
  group: '',
  version: 'v1',
  resource: 'podtemplates',
  kind: 'PodTemplate',
  namespaced: true,
  hasGeneration: true,
  applyDefaults: ({ template }) => applyTemplateDefaults(template),
  validate: ({ template }) =>
    template === undefined ? [required('template.spec.containers')] : validatePodTemplate(template, 'template'),
  warnings: (object, old) => templateWarnings(object.template, old?.template, 'template'),
  columns: [
    nameColumn,
    text('Containers', 'Names of the containers in the pod template.'),
    text('Images', 'Images of the containers in the pod template.'),
    text('Pod Labels', 'Labels that pods get from the template.'),
  ],
  tableRow: ({ metadata, template }) => [
    metadata.name,
    ...containerCells(template?.spec?.containers),
    formatLabels(template?.metadata?.labels),
  ],
});
