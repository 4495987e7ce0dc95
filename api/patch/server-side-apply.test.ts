import { describe, expect, it } from 'vitest';
import { canonicalize } from '../codec/canonical.ts';
import { ApiError } from '../object/api-error.ts';
import { parseApiVersion } from '../object/group-version.ts';
import type { KubeObject, ManagedFieldsEntry } from '../object/kube-object.ts';
import { builtinTypes } from '../schema/builtin-types.ts';
import { recordUpdate, withManagedFields } from './managed-fields.ts';
import { applyConfiguration } from './server-side-apply.ts';

const typeOf = (object: KubeObject) =>
  builtinTypes().typeOf({ ...parseApiVersion(object.apiVersion), kind: object.kind })!;
const canonical = (object: object) => canonicalize(object as KubeObject, typeOf(object as KubeObject));
const T0 = Date.UTC(2026, 0, 1);

const deployment = (spec: object, metadata: object = {}) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'd', namespace: 'n', ...metadata },
  spec,
});
const template = (...containers: object[]) => ({ spec: { containers } });

function write(live: KubeObject | undefined, next: object, manager = 'kubectl', more: object = {}): KubeObject {
  const object = canonical(next);
  const options = {
    live,
    next: object,
    type: typeOf(object),
    manager,
    apiVersion: object.apiVersion,
    subresource: '',
    nowMs: T0,
  };
  return withManagedFields(object, recordUpdate({ ...options, ...more }));
}

function apply(live: KubeObject | undefined, config: object, manager = 'me', more: object = {}): KubeObject {
  const type = typeOf(config as KubeObject);
  const base = {
    live,
    config: config as KubeObject,
    type,
    manager,
    force: false,
    apiVersion: 'apps/v1',
    subresource: '',
    nowMs: T0,
  };
  return applyConfiguration({ ...base, ...more });
}

const entriesOf = (object: KubeObject): ManagedFieldsEntry[] => object.metadata.managedFields ?? [];
const fieldsBy = (object: KubeObject, manager: string) =>
  entriesOf(object).find((entry) => entry.manager === manager)?.fieldsV1;
const failure = (run: () => unknown): ApiError => {
  try {
    run();
  } catch (err) {
    if (err instanceof ApiError) return err;
    throw err;
  }
  throw new Error('accepted');
};

describe('managedFields of plain writes', () => {
  it('a create owns what it names, and structs only where Go holds them by pointer', () => {
    const created = write(undefined, {
      ...deployment(
        {
          replicas: 1,
          selector: { matchLabels: { a: 'b' } },
          strategy: { rollingUpdate: { maxSurge: 1 } },
          template: {
            metadata: { labels: { a: 'b' } },
            spec: { containers: [{ name: 'x', image: 'i', ports: [{ containerPort: 80, protocol: 'TCP' }] }] },
          },
        },
        { labels: { a: 'b' }, uid: 'u', generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' },
      ),
      status: { replicas: 1 },
    });
    expect(entriesOf(created)).toEqual([
      {
        apiVersion: 'apps/v1',
        fieldsType: 'FieldsV1',
        manager: 'kubectl',
        operation: 'Update',
        time: '2026-01-01T00:00:00Z',
        fieldsV1: {
          'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } },
          'f:spec': {
            'f:replicas': {},
            'f:selector': {},
            'f:strategy': { 'f:rollingUpdate': { '.': {}, 'f:maxSurge': {} } },
            'f:template': {
              'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } },
              'f:spec': {
                'f:containers': {
                  'k:{"name":"x"}': {
                    '.': {},
                    'f:image': {},
                    'f:name': {},
                    'f:ports': {
                      '.': {},
                      'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {}, 'f:protocol': {} },
                    },
                    'f:resources': {},
                  },
                },
              },
            },
          },
        },
      },
    ]);
    expect(canonical(created)).toEqual(created);
    expect(JSON.stringify(canonical(created).metadata)).toBe(JSON.stringify(created.metadata));
  });

  it('an update takes what it changes from whoever had it', () => {
    const v1 = write(undefined, deployment({ replicas: 1, minReadySeconds: 5 }), 'a');
    const v2 = write(v1, deployment({ replicas: 2, minReadySeconds: 5 }), 'b', {
      nowMs: T0 + 1000,
    });
    expect(fieldsBy(v2, 'a')).toEqual({ 'f:spec': { 'f:minReadySeconds': {} } });
    expect(fieldsBy(v2, 'b')).toEqual({ 'f:spec': { 'f:replicas': {} } });
    expect(entriesOf(v2).map((entry) => entry.time)).toEqual(['2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z']);
  });

  it('removing a field takes it from its owner and gives it to nobody', () => {
    const v1 = write(undefined, deployment({ replicas: 1, minReadySeconds: 5 }), 'a');
    const v2 = write(v1, deployment({ replicas: 1 }), 'b');
    expect(entriesOf(v2).map((entry) => entry.manager)).toEqual(['a']);
    expect(fieldsBy(v2, 'a')).toEqual({ 'f:spec': { 'f:replicas': {} } });
  });

  it('an unchanged object keeps its entries, time included', () => {
    const v1 = write(undefined, deployment({ replicas: 1 }), 'a');
    expect(write(v1, deployment({ replicas: 1 }), 'b', { nowMs: T0 + 5000 })).toEqual(v1);
  });

  it('a status write owns status and nothing of the spec', () => {
    const v1 = write(undefined, deployment({ replicas: 1 }), 'a');
    const v2 = write(v1, { ...deployment({ replicas: 1 }), status: { readyReplicas: 1 } }, 'c', {
      subresource: 'status',
    });
    expect(entriesOf(v2).at(-1)).toMatchObject({
      manager: 'c',
      subresource: 'status',
      fieldsV1: { 'f:status': { 'f:readyReplicas': {} } },
    });
  });

  it('a client can forget all entries with [{}] but not by leaving them out', () => {
    const v1 = write(undefined, deployment({ replicas: 1 }), 'a');
    const next = deployment({ replicas: 2 }, { managedFields: [{}] });
    expect(
      recordUpdate({
        live: v1,
        next: next as KubeObject,
        type: typeOf(v1),
        manager: 'b',
        apiVersion: 'apps/v1',
        subresource: '',
        nowMs: T0,
      }),
    ).toBeUndefined();
    expect(entriesOf(write(v1, deployment({ replicas: 2 }, { managedFields: [] }), 'b'))).toHaveLength(1);
  });

  it('merges the oldest updaters beyond ten', () => {
    let object = write(undefined, deployment({ replicas: 1 }, { labels: { l0: 'x' } }), 'm0');
    for (let index = 1; index < 15; index++) {
      const labels = { ...object.metadata.labels, [`l${index}`]: 'x' };
      object = write(object, deployment({ replicas: 1 }, { labels }), `m${index}`, { nowMs: T0 + index * 1000 });
    }
    const managers = entriesOf(object).map((entry) => entry.manager);
    expect(managers).toHaveLength(10);
    expect(managers).toContain('ancient-changes');
    expect(
      Object.keys(
        (fieldsBy(object, 'ancient-changes') as Record<string, Record<string, object>>)['f:metadata']!['f:labels']!,
      ),
    ).toEqual(expect.arrayContaining(['f:l0', 'f:l5']));
  });

  it('sets and atomic lists are owned by value and as a whole', () => {
    const created = write(undefined, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name: 's', finalizers: ['a.b/c'] },
      imagePullSecrets: [{ name: 'x' }],
    });
    expect(entriesOf(created)[0]!.fieldsV1).toEqual({
      'f:imagePullSecrets': expect.anything(),
      'f:metadata': { 'f:finalizers': { '.': {}, 'v:"a.b/c"': {} } },
    });
  });
});

describe('server-side apply', () => {
  const web = (image: string) => ({ name: 'web', image });
  const side = { name: 'side', image: '1' };

  it('creates, owning exactly what was named', () => {
    const created = apply(undefined, deployment({ replicas: 1, paused: false, template: template(web('1')) }));
    expect(created.spec).toMatchObject({
      replicas: 1,
      template: { spec: { containers: [{ name: 'web', image: '1' }] } },
    });
    expect(entriesOf(created)).toEqual([
      {
        apiVersion: 'apps/v1',
        fieldsType: 'FieldsV1',
        manager: 'me',
        operation: 'Apply',
        time: '2026-01-01T00:00:00Z',
        fieldsV1: {
          'f:spec': {
            'f:replicas': {},
            'f:paused': {},
            'f:template': {
              'f:spec': { 'f:containers': { 'k:{"name":"web"}': { '.': {}, 'f:name': {}, 'f:image': {} } } },
            },
          },
        },
      },
    ]);
  });

  it('answers the live object when nothing changes', () => {
    const config = deployment({
      replicas: 1,
      template: template({ ...web('1'), resources: { limits: { memory: '1024Mi' } } }),
    });
    const live = apply(undefined, config);
    expect(apply(live, config, 'me', { nowMs: T0 + 9000 })).toBe(live);
  });

  it('removes what is no longer applied and nobody else owns', () => {
    const first = apply(
      undefined,
      deployment(
        { replicas: 1, minReadySeconds: 3, template: template(web('1'), side) },
        { labels: { a: '1', b: '2' } },
      ),
    );
    const second = apply(first, deployment({ replicas: 1, template: template(web('1')) }, { labels: { a: '1' } }));
    expect(second.spec).toEqual(canonical(deployment({ replicas: 1, template: template(web('1')) })).spec);
    expect(second.metadata.labels).toEqual({ a: '1' });
  });

  it('keeps what another manager owns too', () => {
    const first = apply(undefined, deployment({ replicas: 1, minReadySeconds: 3 }));
    const shared = apply(first, deployment({ minReadySeconds: 3 }), 'you');
    const second = apply(shared, deployment({ replicas: 1 }));
    expect(second.spec).toMatchObject({ replicas: 1, minReadySeconds: 3 });
    expect(fieldsBy(second, 'you')).toEqual({ 'f:spec': { 'f:minReadySeconds': {} } });
  });

  it('leaves fields that nobody applied, such as defaults, alone', () => {
    const first = apply(undefined, deployment({ replicas: 1 }));
    const defaulted = withManagedFields(
      canonical({ ...first, spec: { ...(first.spec as object), progressDeadlineSeconds: 600 } }),
      entriesOf(first),
    );
    expect(apply(defaulted, deployment({ replicas: 2 })).spec).toMatchObject({
      replicas: 2,
      progressDeadlineSeconds: 600,
    });
  });

  it('refuses to change what another manager owns, naming the field', () => {
    const live = write(undefined, deployment({ replicas: 3, template: template(web('1')) }), 'kubectl-scale');
    const error = failure(() => apply(live, deployment({ replicas: 1 })));
    expect(error.code).toBe(409);
    expect(error.message).toBe(
      'Apply failed with 1 conflict: conflict with "kubectl-scale" using apps/v1: .spec.replicas',
    );
    expect(error.details?.causes).toEqual([
      {
        reason: 'FieldManagerConflict',
        message: 'conflict with "kubectl-scale" using apps/v1',
        field: '.spec.replicas',
      },
    ]);
    const several = failure(() => apply(live, deployment({ replicas: 1, template: template(web('2')) })));
    expect(several.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "kubectl-scale" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="web"].image',
    );
  });

  it('takes over with force, and shares without conflict when the value is the same', () => {
    const live = write(undefined, deployment({ replicas: 3, minReadySeconds: 1 }), 'other');
    const forced = apply(live, deployment({ replicas: 1 }), 'me', { force: true });
    expect(forced.spec).toMatchObject({ replicas: 1, minReadySeconds: 1 });
    expect(fieldsBy(forced, 'other')).toEqual({ 'f:spec': { 'f:minReadySeconds': {} } });
    const same = apply(live, deployment({ replicas: 3 }));
    expect(fieldsBy(same, 'other')).toEqual({ 'f:spec': { 'f:minReadySeconds': {}, 'f:replicas': {} } });
    expect(fieldsBy(same, 'me')).toEqual({ 'f:spec': { 'f:replicas': {} } });
  });

  it('keeps the order of live items and puts applied ones in their own order', () => {
    const live = write(
      undefined,
      deployment({ template: template({ name: 'a' }, { name: 'b' }, { name: 'c' }) }),
      'other',
    );
    const applied = apply(live, deployment({ template: template({ name: 'c' }, { name: 'x' }, { name: 'a' }) }));
    const containers = (applied.spec as { template: { spec: { containers: { name: string }[] } } }).template.spec
      .containers;
    expect(containers.map(({ name }) => name)).toEqual(['b', 'c', 'x', 'a']);
  });

  it('matches list items whose key has a default', () => {
    const port = { containerPort: 80, protocol: 'TCP', name: 'http' };
    const live = write(undefined, deployment({ template: template({ ...web('1'), ports: [port] }) }), 'other');
    const applied = apply(
      live,
      deployment({ template: template({ name: 'web', ports: [{ containerPort: 80, hostPort: 1 }] }) }),
    );
    const [container] = (applied.spec as { template: { spec: { containers: { ports: object[] }[] } } }).template.spec
      .containers;
    expect(container!.ports).toEqual([{ ...port, hostPort: 1 }]);
  });

  it('replaces atomic parts as a whole', () => {
    const live = apply(undefined, deployment({ selector: { matchLabels: { a: '1', b: '2' } } }));
    expect(apply(live, deployment({ selector: { matchLabels: { c: '3' } } })).spec).toMatchObject({
      selector: { matchLabels: { c: '3' } },
    });
  });

  it('refuses a configuration with managedFields', () => {
    const error = failure(() => apply(undefined, deployment({}, { managedFields: [{ manager: 'x' }] })));
    expect([error.code, error.message]).toEqual([400, 'metadata.managedFields must be nil']);
  });
});
