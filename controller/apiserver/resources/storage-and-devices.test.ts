import { beforeEach, describe, expect, test } from 'vitest';
import type { TestServer } from '../server/testing/test-server.ts';
import { createResourceServer } from './testing/resource-server.ts';

let api: TestServer;
beforeEach(() => {
  api = createResourceServer();
});

const STORAGE = '/apis/storage.k8s.io/v1';
const meta = { metadata: { name: 'x' } };
const named = (spec: object) => ({ ...meta, spec });

describe('storage', () => {
  test('completes classes and drivers', async () => {
    const sc = await api.expect(201, 'POST', `${STORAGE}/storageclasses`, { ...meta, provisioner: 'p' });
    expect(sc).toMatchObject({ reclaimPolicy: 'Delete', volumeBindingMode: 'Immediate' });
    const driver = await api.expect(201, 'POST', `${STORAGE}/csidrivers`, named({}));
    expect(driver.spec).toEqual({
      attachRequired: true,
      fsGroupPolicy: 'ReadWriteOnceWithFSType',
      podInfoOnMount: false,
      requiresRepublish: false,
      seLinuxMount: false,
      storageCapacity: false,
      volumeLifecycleModes: ['Persistent'],
    });
  });

  test('an attachment keeps its status apart', async () => {
    const spec = { attacher: 'a', nodeName: 'n', source: { persistentVolumeName: 'pv' } };
    const path = `${STORAGE}/volumeattachments`;
    const made = await api.expect(201, 'POST', path, { ...named(spec), status: { attached: true } });
    expect(made.status).toEqual({ attached: false });
    const attached = await api.expect(200, 'PUT', `${path}/x/status`, { ...made, status: { attached: true } });
    expect(attached.status).toEqual({ attached: true });
    const moved = { ...attached, spec: { ...spec, nodeName: 'm' } };
    expect((await api.expect(422, 'PUT', `${path}/x`, moved)).message).toContain('field is immutable');
  });

  test.each<[path: string, body: object, change: object, message: string]>([
    [
      'storageclasses',
      { provisioner: 'p' },
      { provisioner: 'q' },
      'provisioner: Invalid value: "q": field is immutable',
    ],
    ['storageclasses', { provisioner: 'p' }, { reclaimPolicy: 'Retain' }, 'reclaimPolicy: Invalid value'],
    [
      'volumeattributesclasses',
      { driverName: 'd', parameters: { a: 'b' } },
      { parameters: { a: 'c' } },
      'parameters: Forbidden: updates to parameters are forbidden.',
    ],
    ['csidrivers', { spec: {} }, { spec: { attachRequired: false } }, 'spec.attachedRequired: Invalid value: false'],
    [
      'csinodes',
      { spec: { drivers: [{ name: 'd', nodeID: 'n' }] } },
      { spec: { drivers: [{ name: 'd', nodeID: 'm' }] } },
      'spec.drivers: Invalid value',
    ],
  ])('%s %j may not become %j', async (path, body, change, message) => {
    const made = await api.expect(201, 'POST', `${STORAGE}/${path}`, { ...meta, ...body });
    const changed = { ...made, ...change };
    expect((await api.expect(422, 'PUT', `${STORAGE}/${path}/x`, changed)).message).toContain(message);
  });

  test.each<[path: string, body: object, message: string]>([
    ['storageclasses', {}, 'provisioner: Required value'],
    ['storageclasses', { provisioner: 'p', reclaimPolicy: 'Recycle' }, 'reclaimPolicy: Unsupported value: "Recycle"'],
    [
      'storageclasses',
      { provisioner: 'p', allowedTopologies: [{ matchLabelExpressions: [{ key: 'k', values: [] }] }] },
      'allowedTopologies[0].matchLabelExpressions[0].values: Required value',
    ],
    [
      'volumeattributesclasses',
      { driverName: 'd' },
      'parameters: Required value: must contain at least one key/value pair',
    ],
    ['csidrivers', { spec: { fsGroupPolicy: 'X' } }, 'spec.fsGroupPolicy: Unsupported value: "X"'],
    [
      'csidrivers',
      { spec: { tokenRequests: [{ audience: '' }, { audience: '' }] } },
      'spec.tokenRequests[1].audience: Duplicate value',
    ],
    ['csinodes', { spec: { drivers: [{ name: 'd' }] } }, 'spec.drivers[0].nodeID: Required value'],
    [
      'volumeattachments',
      { spec: { attacher: 'a', nodeName: 'n', source: {} } },
      'must specify exactly one of inlineVolumeSpec and persistentVolumeName',
    ],
    ['namespaces/a/csistoragecapacities', { storageClassName: 's', capacity: '-1' }, 'capacity: Invalid value'],
  ])('%s refuses %j', async (path, body, message) => {
    const { message: actual } = await api.expect(422, 'POST', `${STORAGE}/${path}`, { ...meta, ...body });
    expect(actual).toContain(message);
  });
});

const RESOURCE = '/apis/resource.k8s.io/v1';
const CLAIMS = `${RESOURCE}/namespaces/a/resourceclaims`;
const SLICES = `${RESOURCE}/resourceslices`;
const claim = (...requests: object[]) => named({ devices: { requests } });
const exactly = (fields: object = {}) => ({ name: 'r', exactly: { deviceClassName: 'c', ...fields } });
const slice = (fields: object = {}) =>
  named({ driver: 'd', nodeName: 'n', pool: { name: 'p', generation: 0, resourceSliceCount: 1 }, ...fields });
const result = { request: 'r', driver: 'd', pool: 'p', device: 'dev' };

describe('devices', () => {
  test('a claim asks for one device, gets it, and keeps it', async () => {
    const made = await api.expect(201, 'POST', CLAIMS, claim(exactly()));
    expect(made.spec.devices.requests[0].exactly).toEqual({
      allocationMode: 'ExactCount',
      count: 1,
      deviceClassName: 'c',
    });
    const changed = { ...made, spec: { devices: { requests: [exactly({ count: 2 })] } } };
    expect((await api.expect(422, 'PUT', `${CLAIMS}/x`, changed)).message).toContain('field is immutable');

    const status = {
      allocation: { devices: { results: [result] } },
      reservedFor: [{ resource: 'pods', name: 'p', uid: 'u' }],
    };
    const allocated = await api.expect(200, 'PUT', `${CLAIMS}/x/status`, { ...made, status });
    const other = { devices: { results: [{ ...result, device: 'other' }] } };
    const refusal = await api.expect(422, 'PUT', `${CLAIMS}/x/status`, { ...allocated, status: { allocation: other } });
    expect(refusal.message).toContain('status.allocation');
    await api.expect(200, 'PUT', `${CLAIMS}/x/status`, { ...allocated, status: {} });
  });

  test('access as an administrator takes a namespace that allows it', async () => {
    const { message } = await api.expect(422, 'POST', CLAIMS, claim(exactly({ adminAccess: true })));
    expect(message).toContain('requires the `resource.kubernetes.io/admin-access: true` label');
    const labels = { 'resource.kubernetes.io/admin-access': 'true' };
    await api.expect(201, 'POST', '/api/v1/namespaces', { metadata: { name: 'a', labels } });
    await api.expect(201, 'POST', CLAIMS, claim(exactly({ adminAccess: true })));
  });

  test('slices are selected by node and driver; their taints learn the time', async () => {
    const taints = [{ key: 'k', effect: 'NoSchedule' }];
    const made = await api.expect(201, 'POST', SLICES, slice({ devices: [{ name: 'd', taints }] }));
    expect(made.spec.devices[0].taints[0].timeAdded).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const { items } = await api.expect(200, 'GET', `${SLICES}?fieldSelector=spec.nodeName%3Dn,spec.driver%3Dd`);
    expect(items).toHaveLength(1);
    expect((await api.expect(200, 'GET', `${SLICES}?fieldSelector=spec.nodeName%3Dm`)).items).toEqual([]);
  });

  test('partitions take counters that are in another slice of their pool', async () => {
    const counters = [{ name: 's', counters: { c: { value: '8' } } }];
    await api.expect(201, 'POST', SLICES, slice({ sharedCounters: counters, devices: undefined }));
    const body = slice({ devices: [{ name: 'd', consumesCounters: [taking('s')] }] });
    await api.expect(201, 'POST', SLICES, { ...body, metadata: { name: 'devices' } });
  });

  const taking = (counterSet: string) => ({ counterSet, counters: { c: { value: '1' } } });
  test.each<[path: string, body: object, message: string]>([
    [CLAIMS, claim({ name: 'r' }), 'exactly one of `exactly` or `firstAvailable` is required'],
    [
      CLAIMS,
      claim(exactly({ deviceClassName: '' })),
      'spec.devices.requests[0].exactly.deviceClassName: Required value',
    ],
    [CLAIMS, claim(exactly({ allocationMode: 'All', count: 2 })), "must not be specified when allocationMode is 'All'"],
    [CLAIMS, claim(exactly(), exactly()), 'spec.devices.requests[1].name: Duplicate value: "r"'],
    [
      CLAIMS,
      named({ devices: { requests: [exactly()], constraints: [{ requests: ['s'], matchAttribute: 'd/a' }] } }),
      'must be the name of a request in the claim',
    ],
    [
      CLAIMS,
      named({ devices: { requests: [exactly()], config: [{ opaque: { driver: 'd', parameters: 'x' } }] } }),
      'must be a valid JSON object',
    ],
    [
      SLICES,
      slice({ nodeName: undefined }),
      'exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required',
    ],
    [SLICES, slice({ allNodes: true }), 'but multiple fields are set'],
    [
      SLICES,
      slice({ devices: [{ name: 'd', attributes: { a: {} } }] }),
      'spec.devices[0].attributes[a]: Required value: exactly one value must be specified',
    ],
    [
      SLICES,
      slice({ devices: [{ name: 'd', attributes: { a: { version: '1' } } }] }),
      'must be a string compatible with semver.org spec 2.0.0',
    ],
    [
      SLICES,
      slice({ devices: [{ name: 'd', consumesCounters: ['s', 't', 'u'].map(taking) }] }),
      'spec.devices[0].consumesCounters: Too many: 3: must have at most 2 items',
    ],
    [
      SLICES,
      slice({ sharedCounters: [{ name: 's', counters: { c: { value: '1' } } }], devices: [{ name: 'd' }] }),
      'only one of `sharedCounters` or `devices` is allowed',
    ],
    [
      SLICES,
      slice({ devices: Array.from({ length: 65 }, (_, i) => ({ name: `d-${i}`, consumesCounters: [taking('s')] })) }),
      'spec.devices: Too many: 65: must have at most 64 items',
    ],
    [
      SLICES,
      slice({ devices: [{ name: 'd', attributes: { a: { strings: ['x'] } } }] }),
      'spec.devices[0].attributes[a]: Required value: exactly one value must be specified',
    ],
    [
      SLICES,
      slice({ devices: [{ name: 'd', capacity: { c: { value: '1', requestPolicy: {} } } }] }),
      'spec.devices[0].capacity[c].requestPolicy: Forbidden: allowMultipleAllocations must be true',
    ],
    [`${RESOURCE}/deviceclasses`, named({ selectors: [{}] }), 'spec.selectors[0].cel: Required value'],
    [
      `${RESOURCE}/deviceclasses`,
      named({ selectors: [{ cel: { expression: 'device.colour == "red"' } }] }),
      'spec.selectors[0].cel.expression: Invalid value: "device.colour == \\"red\\"": compilation failed: ERROR: <input>:1:7: undefined field',
    ],
    [
      `${RESOURCE}/deviceclasses`,
      named({ selectors: [{ cel: { expression: '1 + 1' } }] }),
      'spec.selectors[0].cel.expression: Invalid value: "1 + 1": must evaluate to bool or the unknown type, not int',
    ],
    [`${RESOURCE}/deviceclasses`, named({ extendedResourceName: 'cpu' }), 'must be a valid extended resource name'],
  ])('%s refuses %j', async (path, body, message) => {
    expect((await api.expect(422, 'POST', path, body)).message).toContain(message);
  });
});
