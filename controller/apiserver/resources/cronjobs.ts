import { CronError, isTimeZone, parseCron } from '#api/meta/cron-schedule.ts';
import { type FieldError, invalid, notSupported, required } from '#api/object/field-error.ts';
import type { CronJob } from '#api/object/kinds.ts';
import { defineResource } from '../registry/define-resource.ts';
import type { ResourceDefinition } from '../registry/resource-definition.ts';
import type { JobSpec } from './job/policies.ts';
import { validateJobTemplateSpec } from './job/validation.ts';
import { applyFailurePolicyDefaults, podNameWarnings } from './jobs.ts';
import { applyTemplateDefaults } from './pod/defaults.ts';
import { templateWarnings } from './pod/warnings.ts';
import { age, containerCells, formatLabelSelector, NONE } from './printing/cells.ts';
import { ageColumn, column, containerColumns, integer, nameColumn, selectorColumn, text } from './printing/columns.ts';
import { ageOf } from './printing/duration.ts';
import { validateNonNegative, validateOneOf } from './validation/format.ts';

/** Jobs get the name and a suffix of eleven characters, and must fit a label. */
const MAX_NAME = 52;
const POLICIES = ['Allow', 'Forbid', 'Replace'];

function applyDefaults({ spec }: CronJob): void {
  if (spec === undefined) return;
  spec.concurrencyPolicy ||= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  const jobSpec = spec.jobTemplate?.spec;
  if (jobSpec === undefined) return;
  applyFailurePolicyDefaults(jobSpec);
  applyTemplateDefaults(jobSpec.template);
}

const namesZone = (schedule: string): boolean => schedule.includes('TZ');

function validateSchedule(schedule: string, timeZone: string | undefined, allowsZone: boolean): FieldError[] {
  const path = 'spec.schedule';
  if (schedule === '') return [required(path)];
  const errors: FieldError[] = [];
  try {
    parseCron(schedule);
  } catch (err) {
    if (!(err instanceof CronError)) throw err;
    errors.push(invalid(path, schedule, err.message));
  }
  if (!namesZone(schedule)) return errors;
  if (!allowsZone) {
    errors.push(invalid(path, schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'));
  } else if (timeZone !== undefined) {
    errors.push(invalid(path, schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'));
  }
  return errors;
}

function validateTimeZone(timeZone: string | undefined): FieldError[] {
  const path = 'spec.timeZone';
  if (timeZone === undefined) return [];
  if (timeZone === '') return [invalid(path, timeZone, 'timeZone must be nil or non-empty string')];
  if (timeZone.toLowerCase() === 'local') {
    return [
      invalid(path, timeZone, 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones'),
    ];
  }
  return isTimeZone(timeZone) ? [] : [invalid(path, timeZone, `unknown time zone ${timeZone}`)];
}

function validateTemplate(spec: JobSpec | undefined): FieldError[] {
  const path = 'spec.jobTemplate.spec';
  if (spec === undefined) return [required(`${path}.template`)];
  const errors = validateJobTemplateSpec(spec, path);
  if (spec.selector !== undefined) {
    errors.push(invalid(`${path}.selector`, spec.selector, '`selector` will be auto-generated'));
  }
  if (spec.manualSelector === true) errors.push(notSupported(`${path}.manualSelector`, true, ['nil', 'false']));
  return errors;
}

/** `allowsZone`: the stored object has a schedule of the time before spec.timeZone. */
function validateCronJob({ spec }: CronJob, allowsZone: boolean): FieldError[] {
  return [
    ...validateSchedule(spec?.schedule ?? '', spec?.timeZone, allowsZone),
    ...validateNonNegative(spec?.startingDeadlineSeconds, 'spec.startingDeadlineSeconds'),
    ...validateTimeZone(spec?.timeZone),
    ...validateOneOf(spec?.concurrencyPolicy, POLICIES, 'spec.concurrencyPolicy'),
    ...validateTemplate(spec?.jobTemplate?.spec),
    ...validateNonNegative(spec?.successfulJobsHistoryLimit, 'spec.successfulJobsHistoryLimit'),
    ...validateNonNegative(spec?.failedJobsHistoryLimit, 'spec.failedJobsHistoryLimit'),
  ];
}

function validateNewName({ metadata: { name } }: CronJob): FieldError[] {
  return name.length > MAX_NAME ? [invalid('metadata.name', name, `must be no more than ${MAX_NAME} characters`)] : [];
}

export const cronJobs: ResourceDefinition = defineResource<CronJob>({
  group: 'batch',
  version: 'v1',
  resource: 'cronjobs',
  kind: 'CronJob',
  namespaced: true,
  shortNames: ['cj'],
  categories: ['all'],
  hasStatus: true,
  hasGeneration: true,
  applyDefaults,
  prepareForCreate(cronJob) {
    cronJob.status = {};
  },
  validate: (cronJob, { request }) =>
    request.info.verb === 'create'
      ? [...validateCronJob(cronJob, false), ...validateNewName(cronJob)]
      : validateCronJob(cronJob, true),
  validateUpdate(cronJob, old) {
    const { schedule = '' } = cronJob.spec ?? {};
    return namesZone(schedule) && !namesZone(old.spec?.schedule ?? '')
      ? [invalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead')]
      : [];
  },
  warnings: (cronJob, old) => [
    ...(old === undefined ? podNameWarnings(cronJob.metadata.name) : []),
    ...templateWarnings(
      cronJob.spec?.jobTemplate?.spec?.template,
      old?.spec?.jobTemplate?.spec?.template,
      'spec.jobTemplate.spec.template',
    ),
  ],
  columns: [
    nameColumn,
    text('Schedule', 'When jobs start, as cron writes it.'),
    text('Timezone', 'Where the clock of the schedule hangs.'),
    column('Suspend', 'boolean', 'True while no new jobs start.'),
    integer('Active', 'Number of jobs that run.'),
    text('Last Schedule', 'Time since the last job was due and started.'),
    ageColumn,
    ...containerColumns,
    selectorColumn,
  ],
  tableRow: (cronJob, nowMs) => [
    cronJob.metadata.name,
    cronJob.spec?.schedule ?? '',
    cronJob.spec?.timeZone ?? NONE,
    cronJob.spec?.suspend === undefined ? '<unset>' : cronJob.spec.suspend ? 'True' : 'False',
    (cronJob.status?.active ?? []).length,
    cronJob.status?.lastScheduleTime === undefined ? NONE : ageOf(cronJob.status.lastScheduleTime, nowMs),
    age(cronJob, nowMs),
    ...containerCells(cronJob.spec?.jobTemplate?.spec?.template?.spec?.containers),
    formatLabelSelector(cronJob.spec?.jobTemplate?.spec?.selector),
  ],
});
