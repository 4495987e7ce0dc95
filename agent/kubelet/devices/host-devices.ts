import type { FileSystem } from '../../host/host.ts';
import type { HostDevice, UsbIdentity } from './device-selector.ts';

const SYS_USB = '/sys/bus/usb/devices';
const BY_ID = '/dev/serial/by-id';

/** The device nodes of this host, with the USB devices that they belong to. */
export async function readHostDevices(fs: FileSystem, extraFolders: readonly string[]): Promise<HostDevice[]> {
  const [usb, serialIds] = await Promise.all([readUsb(fs), readSerialIds(fs)]);
  const devices: HostDevice[] = usb.map(({ node, identity }) => ({ path: node, usb: identity }));
  for (const folder of new Set(['/dev', ...extraFolders])) {
    for (const name of await fs.list(folder)) {
      const path = `${folder}/${name}`;
      const type = (await fs.info(path))?.type;
      if (type !== 'char' && type !== 'block') continue;
      const identity = await usbOf(fs, name, usb);
      const serialId = serialIds.get(path);
      devices.push({
        path,
        ...(identity === undefined ? {} : { usb: identity }),
        ...(serialId === undefined ? {} : { serialId }),
      });
    }
  }
  return devices;
}

interface UsbDevice {
  readonly node: string;
  readonly identity: UsbIdentity;
}

async function readUsb(fs: FileSystem): Promise<UsbDevice[]> {
  const found: UsbDevice[] = [];
  for (const port of await fs.list(SYS_USB)) {
    // Interfaces have a colon, and no ids of their own.
    if (port.includes(':')) continue;
    const read = async (name: string) => (await fs.readText(`${SYS_USB}/${port}/${name}`).catch(() => '')).trim();
    const [vendor, product] = [await read('idVendor'), await read('idProduct')];
    if (vendor === '' || product === '') continue;
    const [bus, device] = [(await read('busnum')).padStart(3, '0'), (await read('devnum')).padStart(3, '0')];
    const identity = { vendor, product, serial: await read('serial'), port };
    found.push({ node: `/dev/bus/usb/${bus}/${device}`, identity });
  }
  return found;
}

const CLASSES = ['tty', 'video4linux', 'hidraw', 'sound'] as const;

/** The kernel's link of a node leads through the folder of its USB device: `…/1-1/1-1.2/1-1.2:1.0/ttyUSB0/tty/ttyUSB0`. */
async function usbOf(fs: FileSystem, name: string, usb: readonly UsbDevice[]): Promise<UsbIdentity | undefined> {
  if (usb.length === 0) return undefined;
  for (const kind of CLASSES) {
    const link = await fs.readLink(`/sys/class/${kind}/${name}`);
    if (link === undefined) continue;
    const parts = link.split('/');
    return usb.find(
      ({ identity }) => parts.includes(identity.port) && parts.some((one) => one.startsWith(`${identity.port}:`)),
    )?.identity;
  }
  return undefined;
}

async function readSerialIds(fs: FileSystem): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  for (const id of await fs.list(BY_ID)) {
    const target = await fs.readLink(`${BY_ID}/${id}`);
    if (target !== undefined) ids.set(`/dev/${target.split('/').at(-1)}`, id);
  }
  return ids;
}
