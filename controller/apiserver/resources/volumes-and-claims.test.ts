import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

const VOLUMES = '/api/v1/persistentvolumes';
const CLAIMS = '/api/v1/namespaces/a/persistentvolumeclaims';

const volume = (spec: object = {}) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: { name: 'x' },
  spec: { capacity: { storage: '1Gi' }, accessModes: ['ReadWriteOnce'], hostPath: { path: '/data' }, ...spec },
});
const claim = (spec: object = {}, metadata: object = {}) => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name: 'x', ...metadata },
  spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } }, ...spec },
});
const nodeAffinity = { required: { nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }] } };

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

describe('a PersistentVolume', () => {
  test('is completed and waits', async () => {
    const { spec, status } = await api.expect(201, 'POST', VOLUMES, volume());
    expect(spec).toMatchObject({
      persistentVolumeReclaimPolicy: 'Retain',
      volumeMode: 'Filesystem',
      hostPath: { path: '/data', type: '' },
    });
    expect(status).toEqual({ phase: 'Pending', lastPhaseTransitionTime: expect.any(String) });
  });

  test.each<[name: string, spec: object, annotations: Readonly<Record<string, string>>, warning: string | undefined]>([
    ['that is kept', {}, {}, undefined],
    [
      'that is to be recycled',
      { persistentVolumeReclaimPolicy: 'Recycle' },
      {},
      'spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.',
    ],
    [
      'with its class in an annotation',
      {},
      { 'volume.beta.kubernetes.io/storage-class': 'x' },
      'deprecated since v1.8;',
    ],
    [
      'with options in an annotation',
      {},
      { 'volume.beta.kubernetes.io/mount-options': 'ro' },
      'deprecated since v1.31;',
    ],
  ])('%s is warned of as in Kubernetes', async (_name, spec, annotations, warning) => {
    const body = { ...volume(spec), metadata: { name: 'x', annotations } };
    const { status, headers } = await api.call('POST', VOLUMES, body);
    expect(status).toBe(201);
    if (warning === undefined) expect(headers.warning).toBeUndefined();
    else expect(String(headers.warning)).toContain(warning);
  });

  test.each<[name: string, spec: object, finding: string]>([
    ['no modes', { accessModes: [] }, 'spec.accessModes: Required value'],
    [
      'an unknown mode',
      { accessModes: ['Write'] },
      'spec.accessModes: Unsupported value: "Write": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"',
    ],
    [
      'one pod and others',
      { accessModes: ['ReadWriteOncePod', 'ReadWriteOnce'] },
      'spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes',
    ],
    ['no capacity', { capacity: {} }, 'spec.capacity: Required value'],
    ['other capacity', { capacity: { storage: '1', cpu: '1' } }, 'spec.capacity: Unsupported value'],
    [
      'no room',
      { capacity: { storage: '0' } },
      'spec.capacity[storage]: Invalid value: "0": must be greater than zero',
    ],
    ['no source', { hostPath: undefined }, 'spec: Required value: must specify a volume type'],
    [
      'two sources',
      { nfs: { server: 's', path: '/' } },
      'spec.nfs: Forbidden: may not specify more than 1 volume type',
    ],
    [
      'a path that leaves',
      { hostPath: { path: '/a/../b' } },
      'spec.hostPath.path: Invalid value: "/a/../b": must not contain \'..\'',
    ],
    [
      'a local disk of no node',
      { hostPath: undefined, local: { path: '/mnt' } },
      'spec.nodeAffinity: Required value: Local volume requires node affinity',
    ],
    [
      'a root that is emptied',
      { hostPath: { path: '/' }, persistentVolumeReclaimPolicy: 'Recycle' },
      "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
    ],
    [
      'an unknown policy',
      { persistentVolumeReclaimPolicy: 'Keep' },
      'spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"',
    ],
    ['an unknown form', { volumeMode: 'Tape' }, 'spec.volumeMode: Unsupported value: "Tape"'],
    ['a bad class', { storageClassName: 'A_b' }, 'spec.storageClassName: Invalid value: "A_b"'],
    [
      'CSI without a handle',
      { hostPath: undefined, csi: { driver: 'd.example' } },
      'spec.csi.volumeHandle: Required value',
    ],
    [
      'a CSI secret without a namespace',
      { hostPath: undefined, csi: { driver: 'd', volumeHandle: 'h', nodeStageSecretRef: { name: 's' } } },
      'spec.csi.nodeStageSecretRef.namespace: Required value',
    ],
    [
      'iSCSI of an odd name',
      { hostPath: undefined, iscsi: { targetPortal: '1.2.3.4', iqn: 'x', lun: 300 } },
      'spec.iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa',
    ],
    [
      'nodes that nothing says',
      { nodeAffinity: { required: { nodeSelectorTerms: [] } } },
      'spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term',
    ],
    [
      'attributes without CSI',
      { volumeAttributesClassName: 'gold' },
      'spec.csi: Required value: has to be specified when using volumeAttributesClassName',
    ],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', VOLUMES, volume(spec));
    expect(status.message).toContain(finding);
  });

  test.each<[name: string, spec: object, outcome: string]>([
    ['its policy', { persistentVolumeReclaimPolicy: 'Delete' }, ''],
    ['its capacity', { capacity: { storage: '2Gi' } }, ''],
    ['its claim', { claimRef: { namespace: 'a', name: 'c' } }, ''],
    [
      'its source',
      { hostPath: { path: '/other' } },
      'spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation',
    ],
    ['its form', { volumeMode: 'Block' }, 'volumeMode: Invalid value: "Block": field is immutable'],
    ['its nodes', { nodeAffinity: { required: { nodeSelectorTerms: [{}] } } }, 'nodeAffinity: Invalid value'],
  ])('changes %s', async (_name, spec, outcome) => {
    const created = await api.expect(201, 'POST', VOLUMES, volume({ nodeAffinity }));
    const changed = { ...created, spec: { ...created.spec, ...spec } };
    const answer = await api.expect(outcome === '' ? 200 : 422, 'PUT', `${VOLUMES}/x`, changed);
    if (outcome !== '') expect(answer.message).toContain(outcome);
  });

  test('notes when its phase changes', async () => {
    const created = await api.expect(201, 'POST', VOLUMES, volume());
    await api.clock.advance(5_000);
    const status = { ...created.status, phase: 'Available' };
    const updated = await api.expect(200, 'PUT', `${VOLUMES}/x/status`, { ...created, status });
    const passedMs = (time: string) => Date.parse(time) - Date.parse(created.status.lastPhaseTransitionTime);
    expect(passedMs(updated.status.lastPhaseTransitionTime)).toBe(5_000);
  });
});

describe('a PersistentVolumeClaim', () => {
  const source = { kind: 'PersistentVolumeClaim', name: 'other' };
  const snapshot = { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: 's' };
  const populator = { apiGroup: 'example.com', kind: 'Populator', name: 'p' };

  test.each<[name: string, spec: object, expected: object]>([
    ['nothing special', {}, { volumeMode: 'Filesystem' }],
    ['the old way to name a source', { dataSource: source }, { dataSource: source, dataSourceRef: source }],
    ['the new way', { dataSourceRef: snapshot }, { dataSource: snapshot, dataSourceRef: snapshot }],
    ['a source of any kind', { dataSourceRef: populator }, { dataSource: populator, dataSourceRef: populator }],
  ])('with %s is completed', async (_name, spec, expected) => {
    const created = await api.expect(201, 'POST', CLAIMS, claim(spec));
    expect(created.spec).toMatchObject(expected);
    expect(created.status).toEqual({ phase: 'Pending' });
  });

  test('forgets a source that the old field cannot name', async () => {
    const { spec } = await api.expect(201, 'POST', CLAIMS, claim({ dataSource: populator }));
    expect(spec).not.toHaveProperty('dataSource');
    expect(spec).not.toHaveProperty('dataSourceRef');
  });

  test.each<[name: string, spec: object, finding: string]>([
    ['no modes', { accessModes: [] }, 'spec.accessModes: Required value: at least 1 access mode is required'],
    ['no size', { resources: {} }, 'spec.resources[storage]: Required value'],
    [
      'a size of nothing',
      { resources: { requests: { storage: '0' } } },
      'spec.resources[storage]: Invalid value: "0": must be greater than zero',
    ],
    ['a bad class', { storageClassName: 'A_b' }, 'spec.storageClassName: Invalid value: "A_b"'],
    [
      'a bad selector',
      { selector: { matchExpressions: [{ key: 'a', operator: 'In' }] } },
      'spec.selector.matchExpressions[0].values: Required value',
    ],
    [
      'a source without a group',
      { dataSourceRef: { kind: 'Thing', name: 'x' } },
      `spec.dataSource: Invalid value: "Thing": must be 'PersistentVolumeClaim' when referencing the default apiGroup`,
    ],
    ['two sources', { dataSource: source, dataSourceRef: snapshot }, 'must match dataSourceRef'],
  ])('is refused with %s', async (_name, spec, finding) => {
    const status = await api.expect(422, 'POST', CLAIMS, claim(spec));
    expect(status.message).toContain(finding);
  });

  const bind = async (created: { spec: object }) =>
    api.expect(200, 'PUT', `${CLAIMS}/x/status`, {
      ...created,
      status: { phase: 'Bound', capacity: { storage: '1Gi' } },
    });
  const size = (storage: string) => ({ resources: { requests: { storage } } });
  const IMMUTABLE =
    'spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';

  test.each<[name: string, isBound: boolean, spec: object, outcome: string]>([
    ['grows once bound', true, size('2Gi'), ''],
    ['does not grow before', false, size('2Gi'), IMMUTABLE],
    [
      'does not shrink below what it has',
      true,
      size('512Mi'),
      'spec.resources.requests.storage: Forbidden: field can not be less than status.capacity',
    ],
    ['is bound to a volume', false, { volumeName: 'v' }, ''],
    ['gets a class later', false, { storageClassName: 'c' }, ''],
    ['keeps its modes', true, { accessModes: ['ReadWriteMany'] }, IMMUTABLE],
    ['gets attributes', true, { volumeAttributesClassName: 'gold' }, ''],
  ])('%s', async (_name, isBound, spec, outcome) => {
    const created = await api.expect(201, 'POST', CLAIMS, claim());
    const current = isBound ? await bind(created) : created;
    const changed = { ...current, spec: { ...current.spec, ...spec } };
    const answer = await api.expect(outcome === '' ? 200 : 422, 'PUT', `${CLAIMS}/x`, changed);
    if (outcome !== '') expect(answer.message).toContain(outcome);
  });

  test('keeps its volume and its class', async () => {
    const created = await api.expect(201, 'POST', CLAIMS, claim({ volumeName: 'v', storageClassName: 'c' }));
    for (const spec of [{ volumeName: 'w' }, { storageClassName: 'd' }]) {
      const changed = { ...created, spec: { ...created.spec, ...spec } };
      expect((await api.expect(422, 'PUT', `${CLAIMS}/x`, changed)).message).toContain(IMMUTABLE);
    }
  });

  test('may take back an expansion that never came', async () => {
    const created = await bind(await api.expect(201, 'POST', CLAIMS, claim()));
    const grown = await api.expect(200, 'PUT', `${CLAIMS}/x`, {
      ...created,
      spec: { ...created.spec, ...size('8Gi') },
    });
    await api.expect(200, 'PUT', `${CLAIMS}/x`, { ...grown, spec: { ...grown.spec, ...size('2Gi') } });
  });
});
