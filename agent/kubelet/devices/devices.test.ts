import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Node, resources } from '#api/object/kinds.ts';
import { objectKey } from '#api/object/kube-object.ts';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { type HostDevice, parseDeviceSelector, selectDevices } from './device-selector.ts';

const stick = (port: string, serial = '') => ({ vendor: '10c4', product: 'ea60', serial, port });
const HOST: readonly HostDevice[] = [
  { path: '/dev/bus/usb/001/004', usb: stick('1-1', 'A1') },
  { path: '/dev/ttyUSB0', usb: stick('1-1', 'A1'), serialId: 'usb-Silicon_A1-if00' },
  { path: '/dev/bus/usb/001/005', usb: stick('1-2') },
  { path: '/dev/gpiochip0' },
  { path: '/dev/gpiochip1' },
  { path: '/dev/i2c-1' },
  { path: '/dev/video0' },
  { path: '/dev/ttyAMA0' },
  { path: '/dev/null' },
];
const select = (text: string) =>
  selectDevices(parseDeviceSelector(`coracle.dev/x=${text}`), HOST).map(({ id, paths }) => [id, ...paths].join(' '));

describe('selectors', () => {
  test.each([
    ['usb:10c4:ea60', ['10c4:ea60:1-2 /dev/bus/usb/001/005', '10c4:ea60:A1 /dev/bus/usb/001/004 /dev/ttyUSB0']],
    ['usb:10C4:EA60:a1', ['10c4:ea60:A1 /dev/bus/usb/001/004 /dev/ttyUSB0']],
    ['serial:usb-Silicon*', ['usb-Silicon_A1-if00 /dev/ttyUSB0']],
    ['tty', ['/dev/ttyAMA0 /dev/ttyAMA0', '/dev/ttyUSB0 /dev/ttyUSB0']],
    ['tty:ttyAMA0', ['/dev/ttyAMA0 /dev/ttyAMA0']],
    ['gpio', ['/dev/gpiochip0 /dev/gpiochip0', '/dev/gpiochip1 /dev/gpiochip1']],
    ['gpio:gpiochip1', ['/dev/gpiochip1 /dev/gpiochip1']],
    ['i2c', ['/dev/i2c-1 /dev/i2c-1']],
    ['video', ['/dev/video0 /dev/video0']],
    ['path:/dev/nul*', ['/dev/null /dev/null']],
  ])('%s', (text, expected) => {
    expect(select(text)).toEqual(expected);
  });

  test.each(['zigbee=usb:1:2', 'kubernetes.io/x=gpio', 'a.b/x=usb:zz', 'a.b/x=path:/etc/passwd', 'a.b/x=thing'])(
    '%s is refused',
    (text) => {
      expect(() => parseDeviceSelector(text)).toThrow();
    },
  );
});

describe('a node with devices', () => {
  const RESOURCE = 'coracle.dev/stick';
  let rig: KubeletRig;
  beforeEach(() => {
    rig = new KubeletRig({ devices: [parseDeviceSelector(`${RESOURCE}=usb:10c4:ea60`)] });
    plugIn('1-1', 'A1', 4);
  });
  afterEach(() => rig.stop());

  function plugIn(port: string, serial: string, number: number): void {
    const folder = `/sys/bus/usb/devices/${port}`;
    const facts = { idVendor: '10c4', idProduct: 'ea60', serial, busnum: '1', devnum: String(number) };
    for (const [name, text] of Object.entries(facts)) rig.host.fs.seed(`${folder}/${name}`, `${text}\n`);
  }
  const withDevice = (count = '1') => {
    const wanted = { [RESOURCE]: count };
    return { containers: [{ name: 'app', image: TEST_IMAGE, resources: { limits: wanted, requests: wanted } }] };
  };
  const capacity = () => {
    const node = rig.cluster.objectsOf(resources.nodes).get(objectKey(undefined, 'node-1')) as unknown as Node;
    return node.status?.capacity?.[RESOURCE];
  };
  const given = () => rig.runtime.containers.get(rig.runtime.findContainer('app')!.id)?.config.devices;

  test('tells how many it has, and gives one to a pod that asks', async () => {
    await rig.start();
    expect(capacity()).toBe('1');
    await rig.createPod(withDevice());
    expect(given()).toEqual([
      { containerPath: '/dev/bus/usb/001/004', hostPath: '/dev/bus/usb/001/004', permissions: 'rw' },
    ]);
    await rig.createPod(withDevice(), 'second');
    expect(rig.pod('second')?.status).toMatchObject({ phase: 'Failed', reason: `OutOf${RESOURCE}` });
    plugIn('1-2', 'B2', 5);
    await rig.advance(11_000);
    expect(capacity()).toBe('2');
    await rig.createPod(withDevice(), 'third');
    expect(given()?.[0]?.hostPath).toBe('/dev/bus/usb/001/005');
  });

  test('a stick that comes back under another number restarts its container with the new node', async () => {
    await rig.start();
    await rig.createPod(withDevice());
    const health = () => rig.containerStatus()?.allocatedResourcesStatus;
    const shown = (is: string) => [{ name: RESOURCE, resources: [{ resourceID: '10c4:ea60:A1', health: is }] }];
    expect(health()).toEqual(shown('Healthy'));
    await rig.host.fs.remove('/sys/bus/usb/devices/1-1');
    await rig.advance(11_000);
    expect(health()).toEqual(shown('Unhealthy'));
    expect(rig.containerStatus()).toMatchObject({ restartCount: 0, state: { running: {} } });
    plugIn('1-3', 'A1', 9);
    await rig.advance(11_000);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
    expect(given()?.[0]?.hostPath).toBe('/dev/bus/usb/001/009');
    expect(health()).toEqual(shown('Healthy'));
    expect(rig.eventTexts()).toContain(`Killing: Device ${RESOURCE} of container app was replugged`);
  });

  test('a container whose device is away waits for it, and the agent remembers whose it is', async () => {
    await rig.start();
    await rig.createPod(withDevice());
    await rig.host.fs.remove('/sys/bus/usb/devices/1-1');
    rig.runtime.exitContainer(rig.runtime.findContainer('app')!.id, 1);
    await rig.settle();
    expect(rig.containerStatus()?.state?.waiting).toMatchObject({
      reason: 'CreateContainerConfigError',
      message: `requested number of devices unavailable for ${RESOURCE}. Requested: 1, Available: 0`,
    });
    await rig.restart();
    plugIn('1-1', 'A1', 4);
    await rig.advance(22_000);
    expect(rig.containerStatus()).toMatchObject({ restartCount: 1, state: { running: {} } });
  });
});
