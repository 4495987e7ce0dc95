import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const JOBS = '/apis/batch/v1/namespaces/a/jobs';
const CRON_JOBS = '/apis/batch/v1/namespaces/a/cronjobs';

const template = (spec: object = {}, labels?: object) => ({
  ...(labels === undefined ? {} : { metadata: { labels } }),
  spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'busybox:1' }], ...spec },
});
const job = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'batch/v1',
  kind: 'Job',
  metadata: { name: 'x', ...metadata },
  spec: { template: template(), ...spec },
});
const cronJob = (spec: object = {}, name = 'x') => ({
  apiVersion: 'batch/v1',
  kind: 'CronJob',
  metadata: { name },
  spec: { schedule: '*/5 * * * *', jobTemplate: { spec: { template: template() } }, ...spec },
});

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const indexed = { completionMode: 'Indexed', completions: 5 };
const failurePolicy = (rule: object) => ({ podFailurePolicy: { rules: [rule] } });
const onExit = (onExitCodes: object) => failurePolicy({ action: 'FailJob', onExitCodes });
const successPolicy = (rule: object) => ({ ...indexed, successPolicy: { rules: [rule] } });

describe('a Job', () => {
  test('is completed and selects its own pods', async () => {
    const { metadata, spec, status } = await api.expect(201, 'POST', JOBS, job());
    const labels = {
      'batch.kubernetes.io/controller-uid': metadata.uid,
      'batch.kubernetes.io/job-name': 'x',
      'controller-uid': metadata.uid,
      'job-name': 'x',
    };
    expect(spec).toMatchObject({
      backoffLimit: 6,
      completionMode: 'NonIndexed',
      completions: 1,
      manualSelector: false,
      parallelism: 1,
      podReplacementPolicy: 'TerminatingOrFailed',
      suspend: false,
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': metadata.uid } },
      template: { metadata: { labels } },
    });
    expect([metadata.labels, metadata.generation, status]).toEqual([labels, 1, {}]);
  });

  test.each<[name: string, spec: object, expected: object]>([
    ['parallelism alone', { parallelism: 3 }, { parallelism: 3 }],
    ['a limit for each index', { ...indexed, backoffLimitPerIndex: 1 }, { backoffLimit: 2147483647 }],
    [
      'a policy for failures',
      failurePolicy({ action: 'Ignore', onPodConditions: [{ type: 'DisruptionTarget' }] }),
      { podReplacementPolicy: 'Failed', podFailurePolicy: { rules: [{ onPodConditions: [{ status: 'True' }] }] } },
    ],
  ])('with %s', async (_name, spec, expected) => {
    const created = await api.expect(201, 'POST', JOBS, job(spec));
    expect(created.spec).toMatchObject(expected);
    if (!('completions' in spec) && 'parallelism' in spec) expect(created.spec).not.toHaveProperty('completions');
  });

  test.each<[name: string, spec: object, finding: string]>([
    [
      'pods that run for ever',
      { template: template({ restartPolicy: 'Always' }) },
      'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"',
    ],
    [
      'an unknown restart policy',
      { template: template({ restartPolicy: 'Sometimes' }) },
      'spec.template.spec.restartPolicy: Unsupported value: "Sometimes": supported values: "OnFailure", "Never"',
    ],
    [
      'a negative parallelism',
      { parallelism: -1 },
      'spec.parallelism: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'a negative backoff',
      { backoffLimit: -1 },
      'spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      'an unknown mode',
      { completionMode: 'Some' },
      'spec.completionMode: Unsupported value: "Some": supported values: "NonIndexed", "Indexed"',
    ],
    [
      'indexes without a number',
      { completionMode: 'Indexed', parallelism: 1 },
      'spec.completions: Required value: when completion mode is Indexed',
    ],
    [
      'too much parallelism',
      { ...indexed, parallelism: 100_001 },
      'spec.parallelism: Invalid value: 100001: must be less than or equal to 100000 when completion mode is Indexed',
    ],
    [
      'a limit for indexes that are none',
      { backoffLimitPerIndex: 1 },
      'spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode',
    ],
    [
      'failed indexes without their limit',
      { ...indexed, maxFailedIndexes: 2 },
      'spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified',
    ],
    [
      'more failures than indexes',
      { ...indexed, backoffLimitPerIndex: 1, maxFailedIndexes: 6 },
      'spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions',
    ],
    [
      'many indexes without a limit of failures',
      { ...indexed, completions: 100_001, backoffLimitPerIndex: 1 },
      'spec.maxFailedIndexes: Required value: must be specified when completions is above 100000',
    ],
    [
      'a manager without a domain',
      { managedBy: 'me' },
      'spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")',
    ],
    [
      'a manager of a long name',
      { managedBy: `example.com/${'x'.repeat(60)}` },
      'spec.managedBy: Too long: may not be more than 63 bytes',
    ],
    [
      'replacements of terminating pods beside a policy for failures',
      { ...onExit({ operator: 'In', values: [1] }), podReplacementPolicy: 'TerminatingOrFailed' },
      'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"',
    ],
    [
      'a policy for failures of pods that restart',
      { ...onExit({ operator: 'In', values: [1] }), template: template({ restartPolicy: 'OnFailure' }) },
      'spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is specified',
    ],
    [
      'an exit code of success',
      onExit({ operator: 'In', values: [0, 1] }),
      'spec.podFailurePolicy.rules[0].onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator',
    ],
    [
      'exit codes in disorder',
      onExit({ operator: 'NotIn', values: [2, 1] }),
      'spec.podFailurePolicy.rules[0].onExitCodes.values: Invalid value: [2,1]: must be ordered',
    ],
    [
      'an exit code twice',
      onExit({ operator: 'In', values: [1, 1] }),
      'spec.podFailurePolicy.rules[0].onExitCodes.values[1]: Duplicate value: 1',
    ],
    [
      'exit codes of another container',
      onExit({ operator: 'In', values: [1], containerName: 'd' }),
      'spec.podFailurePolicy.rules[0].onExitCodes.containerName: Invalid value: "d": must be one of the container or initContainer names in the pod template',
    ],
    [
      'a rule that says nothing',
      failurePolicy({ action: 'Count' }),
      'spec.podFailurePolicy.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required',
    ],
    [
      'an unknown action',
      failurePolicy({ action: 'Cry', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }),
      'spec.podFailurePolicy.rules[0].action: Unsupported value: "Cry": supported values: "Count", "FailIndex", "FailJob", "Ignore"',
    ],
    [
      'indexes that fail one by one without a limit',
      failurePolicy({ action: 'FailIndex', onPodConditions: [{ type: 'DisruptionTarget', status: 'True' }] }),
      'spec.podFailurePolicy.rules[0].action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set',
    ],
    [
      'a success policy without indexes',
      { successPolicy: { rules: [{ succeededCount: 1 }] } },
      'requires indexed completion mode',
    ],
    [
      'an empty success policy',
      { ...indexed, successPolicy: { rules: [] } },
      'spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified',
    ],
    [
      'a success that asks for too much',
      successPolicy({ succeededCount: 6 }),
      'spec.successPolicy.rules[0].succeededCount: Invalid value: 6: must be less than or equal to 5 (the number of specified completions)',
    ],
    [
      'a success of more than the named indexes',
      successPolicy({ succeededIndexes: '0,2-3', succeededCount: 4 }),
      'must be less than or equal to 3 (the number of indexes in the specified succeededIndexes field)',
    ],
    [
      'an index that does not exist',
      successPolicy({ succeededIndexes: '1-5' }),
      'spec.successPolicy.rules[0].succeededIndexes: Invalid value: "1-5": error parsing succeededIndexes: too large index: "5"',
    ],
    [
      'a label of its own that is another’s',
      { template: template({}, { 'job-name': 'y' }) },
      'spec.template.metadata.labels[job-name]: Invalid value',
    ],
    [
      'a selector of its own without saying so',
      { selector: { matchLabels: { a: 'b' } }, template: template({}, { a: 'b' }) },
      'spec.selector: Invalid value: {"matchLabels":',
    ],
    [
      'a manual selector that misses its pods',
      { manualSelector: true, selector: { matchLabels: { a: 'b' } }, template: template({}, { a: 'c' }) },
      'spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`',
    ],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', JOBS, job(spec));
    expect(status.message).toContain(finding);
  });

  test('belongs to its client but for what the server made up', async () => {
    const { metadata } = await api.expect(201, 'POST', JOBS, job());
    const [{ fieldsV1 }] = metadata.managedFields;
    expect(Object.keys(fieldsV1)).toEqual(['f:spec']);
    expect(fieldsV1['f:spec']).not.toHaveProperty('f:selector');
    expect(fieldsV1['f:spec']['f:template']).not.toHaveProperty('f:metadata');
    expect(fieldsV1['f:spec']).toHaveProperty('f:backoffLimit');
  });

  test('of many indexes needs a short name', async () => {
    const name = 'x'.repeat(62);
    const status = await api.expect(422, 'POST', JOBS, job(indexed, { name }));
    expect(status.message).toContain(
      `metadata.name: Invalid value: "${name}": will not able to create pod with invalid`,
    );
  });

  const change = async (created: { spec: object }, spec: object) => {
    const response = await api.call(
      'PUT',
      `${JOBS}/x`,
      JSON.stringify({ ...created, spec: { ...created.spec, ...spec } }),
    );
    const body = await response.json<{ message?: string }>();
    return response.status === 200 ? 'ok' : (body.message ?? '');
  };

  test.each<[name: string, spec: object, update: object, outcome: string]>([
    ['parallelism', {}, { parallelism: 5 }, 'ok'],
    ['suspension', {}, { suspend: true }, 'ok'],
    ['completions', {}, { completions: 5 }, 'spec.completions: Invalid value: 5: field is immutable'],
    [
      'completions of indexes alone',
      indexed,
      { completions: 7 },
      'spec.completions: Invalid value: 7: can only be modified in tandem with spec.parallelism',
    ],
    ['completions and parallelism of indexes', indexed, { completions: 7, parallelism: 7 }, 'ok'],
    ['the template', {}, { template: template({ nodeSelector: { a: 'b' } }) }, 'spec.template: Invalid value'],
    [
      'the manager',
      {},
      { managedBy: 'example.com/me' },
      'spec.managedBy: Invalid value: "example.com/me": field is immutable',
    ],
  ])('changes %s', async (_name, spec, update, outcome) => {
    const created = await api.expect(201, 'POST', JOBS, job(spec));
    const merged =
      'template' in update
        ? { template: { ...created.spec.template, spec: { ...created.spec.template.spec, nodeSelector: { a: 'b' } } } }
        : update;
    expect(await change(created, merged)).toContain(outcome);
  });

  test('that is suspended and never ran may still be sent elsewhere', async () => {
    const created = await api.expect(201, 'POST', JOBS, job({ suspend: true }));
    const { template: old } = created.spec;
    const container = { ...old.spec.containers[0], resources: { requests: { cpu: '1' } } };
    const moved = {
      metadata: { ...old.metadata, annotations: { queue: 'q' } },
      spec: {
        ...old.spec,
        nodeSelector: { zone: 'z' },
        tolerations: [{ operator: 'Exists' }],
        containers: [container],
      },
    };
    expect(await change(created, { template: moved, suspend: false })).toBe('ok');
    const other = { ...old, spec: { ...old.spec, containers: [{ ...container, image: 'other:1' }] } };
    const current = await api.expect(200, 'GET', `${JOBS}/x`);
    expect(await change(current, { template: other })).toContain('spec.template: Invalid value');
  });

  test.each<[name: string, status: object, finding: string]>([
    [
      'completion without criteria',
      {
        conditions: [{ type: 'Complete', status: 'True' }],
        startTime: '2026-01-01T00:00:00Z',
        completionTime: '2026-01-01T00:00:01Z',
      },
      'status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true condition',
    ],
    [
      'failure without a target',
      { conditions: [{ type: 'Failed', status: 'True' }], startTime: '2026-01-01T00:00:00Z' },
      'cannot set Failed=True condition without the FailureTarget=true condition',
    ],
    [
      'an end with active pods',
      {
        active: 1,
        startTime: '2026-01-01T00:00:00Z',
        conditions: ['FailureTarget', 'Failed'].map((type) => ({ type, status: 'True' })),
      },
      'status.active: Invalid value: 1: active>0 is invalid for finished job',
    ],
    [
      'a time of completion before the end',
      { completionTime: '2026-01-01T00:00:00Z' },
      'status.completionTime: Invalid value: cannot set completionTime when there is no Complete=True condition',
    ],
    ['a pod counted twice', { uncountedTerminatedPods: { succeeded: ['u', 'u'] } }, 'Duplicate value: "u"'],
  ])('has no status of %s', async (_name, status, finding) => {
    const created = await api.expect(201, 'POST', JOBS, job());
    const answer = await api.expect(422, 'PUT', `${JOBS}/x/status`, { ...created, status });
    expect(answer.message).toContain(finding);
  });

  test('leaves its pods behind unless told otherwise, and says so', async () => {
    await api.expect(201, 'POST', JOBS, job());
    const response = await api.call('DELETE', `${JOBS}/x`);
    expect(String(response.headers.warning)).toContain('child pods are preserved by default when jobs are deleted');
    const { metadata } = await api.expect(200, 'GET', `${JOBS}/x`);
    expect(metadata.finalizers).toEqual(['orphan']);
    await api.expect(201, 'POST', JOBS, job({}, { name: 'y' }));
    await api.expect(200, 'DELETE', `${JOBS}/y?propagationPolicy=Background`);
    await api.expect(404, 'GET', `${JOBS}/y`);
  });

  test('is found by its successes', async () => {
    const created = await api.expect(201, 'POST', JOBS, job());
    await api.expect(200, 'PUT', `${JOBS}/x/status`, { ...created, status: { succeeded: 1 } });
    const { items } = await api.expect(200, 'GET', `${JOBS}?fieldSelector=status.successful%3D1`);
    expect(items).toHaveLength(1);
  });
});

describe('a CronJob', () => {
  test('is completed, its job template is not', async () => {
    const { spec } = await api.expect(201, 'POST', CRON_JOBS, cronJob());
    expect(spec).toMatchObject({
      concurrencyPolicy: 'Allow',
      failedJobsHistoryLimit: 1,
      successfulJobsHistoryLimit: 3,
      suspend: false,
      jobTemplate: { spec: { template: { spec: { dnsPolicy: 'ClusterFirst' } } } },
    });
    expect(spec.jobTemplate.spec).not.toHaveProperty('completions');
  });

  test.each<[name: string, spec: object, finding: string]>([
    ['no schedule', { schedule: '' }, 'spec.schedule: Required value'],
    [
      'a schedule that is none',
      { schedule: 'every day' },
      'spec.schedule: Invalid value: "every day": expected exactly 5 fields, found 2: [every day]',
    ],
    [
      'a zone in the schedule',
      { schedule: 'TZ=UTC 0 0 * * *' },
      'spec.schedule: Invalid value: "TZ=UTC 0 0 * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
    ],
    [
      'an unknown zone',
      { timeZone: 'Mars/Base' },
      'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base',
    ],
    ['an empty zone', { timeZone: '' }, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'],
    [
      'a local zone',
      { timeZone: 'Local' },
      'spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in',
    ],
    [
      'an unknown policy',
      { concurrencyPolicy: 'Maybe' },
      'spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"',
    ],
    ['a negative deadline', { startingDeadlineSeconds: -1 }, 'spec.startingDeadlineSeconds: Invalid value: -1'],
    [
      'a selector',
      { jobTemplate: { spec: { template: template(), selector: { matchLabels: { a: 'b' } } } } },
      'spec.jobTemplate.spec.selector: Invalid value: {"matchLabels":{"a":"b"}}: `selector` will be auto-generated',
    ],
    [
      'a manual selector',
      { jobTemplate: { spec: { template: template(), manualSelector: true } } },
      'spec.jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "nil", "false"',
    ],
    [
      'pods that run for ever',
      { jobTemplate: { spec: { template: template({ restartPolicy: 'Always' }) } } },
      'spec.jobTemplate.spec.template.spec.restartPolicy: Required value',
    ],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', CRON_JOBS, cronJob(spec));
    expect(status.message).toContain(finding);
  });

  test('leaves room for the names of its jobs', async () => {
    await api.expect(201, 'POST', CRON_JOBS, cronJob({}, 'x'.repeat(52)));
    const status = await api.expect(422, 'POST', CRON_JOBS, cronJob({}, 'x'.repeat(53)));
    expect(status.message).toContain('must be no more than 52 characters');
  });
});
