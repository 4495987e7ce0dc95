import { dns1123Label } from '#api/meta/names.ts';
import type { Job } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { JobSpec } from './job/policies.ts';
import { generateSelector } from './job/selector.ts';
import { hasCondition, validateJobStatus } from './job/status.ts';
import { validateJobUpdate } from './job/update.ts';
import { validateJob } from './job/validation.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells, formatLabelSelector } from './printing/cells.ts';
import { ageColumn, containerColumns, nameColumn, selectorColumn, text } from './printing/columns.ts';
import { humanDuration } from './printing/duration.ts';

const DEFAULT_BACKOFF_LIMIT = 6;
const NO_LIMIT = 2 ** 31 - 1;

/** Conditions of failed pods are looked for in the state True, where nothing else is said. */
export function applyFailurePolicyDefaults(spec: JobSpec): void {
  for (const rule of spec.podFailurePolicy?.rules ?? []) {
    for (const pattern of rule.onPodConditions ?? []) pattern.status ||= 'True';
  }
}

function applyDefaults({ spec }: Job): void {
  if (spec === undefined) return;
  // Neither given: one pod that succeeds once. With a parallelism alone the pods share an unknown amount of work.
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? DEFAULT_BACKOFF_LIMIT : NO_LIMIT;
  spec.completionMode ||= 'NonIndexed';
  spec.suspend ??= false;
  spec.manualSelector ??= false;
  spec.podReplacementPolicy ||= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  applyFailurePolicyDefaults(spec);
  applyTemplateDefaults(spec.template);
}

function prepareForCreate(job: Job): void {
  job.status = {};
  generateSelector(job);
  // Jobs are found by the labels of their pods, unless they have some of their own.
  const labels = job.spec?.template?.metadata?.labels;
  if (labels !== undefined && Object.keys(job.metadata.labels ?? {}).length === 0) job.metadata.labels = { ...labels };
}

export function podNameWarnings(name: string): string[] {
  const why = dns1123Label(name);
  return why.length === 0
    ? []
    : [
        `metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [${why.join(' ')}]`,
      ];
}

const CHILDREN_STAY =
  'child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning';

const MANY_COMPLETIONS = 100_000;
const MUCH_PARALLELISM = 10_000;

function jobWarnings({ metadata, spec }: Job, old: Job | undefined): string[] {
  const { completionMode, completions = 0, parallelism = 0 } = spec ?? {};
  const isHuge = completionMode === 'Indexed' && completions > MANY_COMPLETIONS && parallelism > MUCH_PARALLELISM;
  return [
    ...(old === undefined ? podNameWarnings(metadata.name) : []),
    ...templateWarnings(spec?.template, old?.spec?.template, 'spec.template'),
    ...(isHuge
      ? [
          'In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail',
        ]
      : []),
  ];
}

function statusCell(job: Job): string {
  if (hasCondition(job, 'Complete')) return 'Complete';
  if (hasCondition(job, 'Failed')) return 'Failed';
  if (job.metadata.deletionTimestamp !== undefined) return 'Terminating';
  const shown = ['Suspended', 'FailureTarget', 'SuccessCriteriaMet'].find((type) => hasCondition(job, type));
  return shown ?? 'Running';
}

function completionsCell({ spec, status }: Job): string {
  const succeeded = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${succeeded}/${spec.completions}`;
  const parallelism = spec?.parallelism ?? 0;
  return parallelism > 1 ? `${succeeded}/1 of ${parallelism}` : `${succeeded}/1`;
}

function durationCell({ status }: Job, nowMs: number): string {
  if (status?.startTime === undefined) return '';
  const endMs = status.completionTime === undefined ? nowMs : Date.parse(status.completionTime);
  return humanDuration(endMs - Date.parse(status.startTime));
}

export const jobs: ResourceDefinition = defineResource<Job>({
  group: 'batch',
  version: 'v1',
  resource: 'jobs',
  kind: 'Job',
  namespaced: true,
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  orphansByDefault: { warning: CHILDREN_STAY },
  applyDefaults,
  prepareForCreate,
  validate: validateJob,
  validateUpdate: validateJobUpdate,
  validateStatusUpdate: validateJobStatus,
  warnings: jobWarnings,
  selectableFields: (job) => ({ 'status.successful': String(job.status?.succeeded ?? 0) }),
  columns: [
    nameColumn,
    text('Status', 'How far the job is.'),
    text('Completions', 'Pods that succeeded of those that must.'),
    text('Duration', 'Time between start and completion.'),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  tableRow: (job, nowMs) => [
    job.metadata.name,
    statusCell(job),
    completionsCell(job),
    durationCell(job, nowMs),
    age(job, nowMs),
    ...containerCells(job.spec?.template?.spec?.containers),
    formatLabelSelector(job.spec?.selector),
  ],
});
