import { container, type Hands, pod, STAYS } from './exercise-objects.ts';

const CLAIM = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Mi' } } };
const VOLUME = {
  accessModes: ['ReadWriteOnce'],
  capacity: { storage: '1Mi' },
  storageClassName: 'none',
  hostPath: { path: '/tmp' },
};
/** Of drivers and provisioners that never come. */
const NOBODY = 'nobody.example.com';

const claim = (name: string, spec: object = { ...CLAIM, storageClassName: name }) => ({
  ...{ apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name } },
  spec,
});
const volume = (name: string, spec: object) => ({
  ...{ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name } },
  spec: { ...VOLUME, ...spec },
});
const storageClass = (name: string, provisioner: string, more: object = {}) => ({
  ...{ apiVersion: 'storage.k8s.io/v1', kind: 'StorageClass', metadata: { name }, provisioner },
  volumeBindingMode: 'WaitForFirstConsumer',
  ...more,
});
const claimant = (name: string) =>
  pod(name, { ...STAYS, volumes: [{ name: 'v', persistentVolumeClaim: { claimName: name } }] });

export async function claims(hands: Hands): Promise<void> {
  await idleStorage(hands);
  await Promise.all([chosenVolumes(hands), growth(hands), attachment(hands)]);
}

/** Deleted at once, and gone once their controllers saw that nobody uses them. */
async function idleStorage({ apply, ok }: Hands): Promise<void> {
  await apply(claim('idle', CLAIM), volume('idle', {}));
  await apply({
    ...{ apiVersion: 'storage.k8s.io/v1', kind: 'VolumeAttributesClass', metadata: { name: 'idle' } },
    ...{ driverName: 'example.com', parameters: { a: 'b' } },
  });
  await ok('delete persistentvolumeclaim/idle persistentvolume/idle volumeattributesclass/idle --timeout=150s');
}

/** One gets its volume when its pod gets its node; one comes with its pod and waits for a provisioner that never comes. */
async function chosenVolumes({ apply, ok, until }: Hands): Promise<void> {
  const path = `/tmp/coracle-exercise-${process.pid}`;
  const ephemeral = { volumeClaimTemplate: { spec: claim('never').spec } };
  await apply(
    storageClass('late', 'kubernetes.io/no-provisioner'),
    storageClass('never', NOBODY),
    claim('late'),
    volume('late', { storageClassName: 'late', persistentVolumeReclaimPolicy: 'Delete', hostPath: { path } }),
    claimant('late'),
    pod('never', { ...STAYS, volumes: [{ name: 'v', ephemeral }] }),
  );
  await until('the volume', 'get pvc late -o jsonpath={.status.phase}', /Bound/);
  await until('the choice of a node', 'get pvc never-v -o jsonpath={.metadata.annotations}', /selected-node/);
  await ok('delete pod/late pvc/late pod/never --timeout=150s');
  await ok('wait --for=delete pvc/never-v --timeout=150s');
  await ok('wait --for=delete pv/late --timeout=150s');
}

async function growth({ apply, ok, until }: Hands): Promise<void> {
  await apply(
    storageClass('grows', NOBODY, { volumeBindingMode: 'Immediate', allowVolumeExpansion: true }),
    claim('grows'),
    volume('grows', { storageClassName: 'grows' }),
  );
  await until('the other volume', 'get pvc grows -o jsonpath={.status.phase}', /Bound/);
  await ok('patch pvc grows --type=merge -p {"spec":{"resources":{"requests":{"storage":"2Mi"}}}}');
  await until('who makes it grow', 'get events', /ExternalExpanding/);
}

/** Attached to its node, by our own hand in place of a driver. */
async function attachment({ apply, ok, until }: Hands): Promise<void> {
  await apply(
    claim('attached'),
    volume('attached', {
      ...{ hostPath: undefined, storageClassName: 'attached' },
      csi: { driver: NOBODY, volumeHandle: 'attached' },
    }),
    claimant('attached'),
  );
  await until('the wish to attach', 'get volumeattachments -o name', /csi-/);
  const wish = (await ok('get volumeattachments -o name')).trim();
  await ok(`patch ${wish} --subresource=status --type=merge -p {"status":{"attached":true}}`);
  await until('the word to the node', 'get node node-0 -o jsonpath={.status.volumesAttached}', /attached/);
  await ok('delete pod/attached --timeout=150s');
  await ok(`wait --for=delete ${wish} --timeout=150s`);
}

/**
 * Made for a pod, given a device, and given back when the pod has ended, which waits for a driver that never comes. Another pod asks for
 * devices by number, and goes when its device breaks.
 */
export async function deviceClaims({ apply, ok, until }: Hands): Promise<void> {
  const driver = NOBODY;
  const resource = (kind: string, spec: object) => ({
    ...{ apiVersion: 'resource.k8s.io/v1', kind, metadata: { name: 'card' } },
    spec,
  });
  const requests = [{ name: 'one', exactly: { deviceClassName: 'card' } }];
  const pool = { name: 'cards', generation: 1, resourceSliceCount: 1 };
  const devices = (...all: readonly object[]) =>
    resource('ResourceSlice', { driver, pool, allNodes: true, devices: all });
  await apply(
    resource('DeviceClass', { selectors: [{ cel: { expression: `device.driver == "${driver}"` } }] }),
    devices({ name: 'c0' }),
    resource('ResourceClaimTemplate', { spec: { devices: { requests } } }),
    pod('carded', {
      ...STAYS,
      activeDeadlineSeconds: 10,
      resourceClaims: [{ name: 'card', resourceClaimTemplateName: 'card' }],
      containers: [container('main', { resources: { claims: [{ name: 'card' }] } })],
    }),
  );
  const users = 'get resourceclaims -o jsonpath={.items[*].status.reservedFor[*].name}';
  await until('the device for the pod', users, /carded/);
  await until('the wait for the driver', 'get events', /DRA driver nobody\.example\.com is not registered/);
  await until('the end of the claim', 'get resourceclaims -o name', /^$/);
  await ok('delete pod carded');
  const limits = { 'deviceclass.resource.kubernetes.io/card': '1' };
  await apply(pod('counted', { ...STAYS, containers: [container('main', { resources: { limits } })] }));
  await until('the device for the other pod', users, /counted/);
  await apply(devices({ name: 'c0', taints: [{ key: 'broken', effect: 'NoExecute' }] }));
  await ok('wait --for=delete pod/counted --timeout=150s');
  await until('the end of its claim', 'get resourceclaims -o name', /^$/);
}
