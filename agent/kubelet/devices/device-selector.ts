/** A device node of the host, with what may select it. */
export interface HostDevice {
  /** `/dev/ttyUSB0` */
  readonly path: string;
  /** The USB device that it belongs to. */
  readonly usb?: UsbIdentity;
  /** Names below `/dev/serial/by-id`, which stay when a stick moves to another port. */
  readonly serialId?: string;
}

export interface UsbIdentity {
  /** Four hexadecimal digits, lower case. */
  readonly vendor: string;
  readonly product: string;
  readonly serial: string;
  /** Where it is plugged in: `1-1.2`. */
  readonly port: string;
}

export interface DeviceSelector {
  /** `coracle.dev/zigbee`: what pods ask for. */
  readonly resource: string;
  readonly kind: 'usb' | 'serial' | 'tty' | 'gpio' | 'i2c' | 'video' | 'path';
  /** What of that kind; empty = all of them. */
  readonly argument: string;
}

/** One thing that a pod may be given: stable while its nodes may change. */
export interface SelectedDevice {
  readonly id: string;
  readonly paths: readonly string[];
}

/** A selector of the configuration cannot be understood. */
export class DeviceSelectorError extends Error {
  override readonly name = 'DeviceSelectorError';
}

const KINDS = ['usb', 'serial', 'tty', 'gpio', 'i2c', 'video', 'path'] as const;
const RESOURCE = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?\/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** `coracle.dev/zigbee=usb:10c4:ea60`, `coracle.dev/gpio=gpio`, `example.com/modem=serial:usb-Huawei*`; throws DeviceSelectorError. */
export function parseDeviceSelector(text: string): DeviceSelector {
  const [resource = '', rest = ''] = splitOnce(text, '=');
  const [kind = '', argument = ''] = splitOnce(rest, ':');
  if (!RESOURCE.test(resource) || /(^|\.)kubernetes\.io\//.test(resource))
    throw new DeviceSelectorError(`${JSON.stringify(text)}: ${JSON.stringify(resource)} is not <domain>/<name>`);
  const known = KINDS.find((one) => one === kind);
  if (known === undefined)
    throw new DeviceSelectorError(`${JSON.stringify(text)}: no such kind of device; there are ${KINDS.join(', ')}`);
  if (known === 'usb' && !/^[0-9a-f]{4}:[0-9a-f]{4}(:.+)?$/i.test(argument))
    throw new DeviceSelectorError(`${JSON.stringify(text)}: usb needs <vendor>:<product>[:<serial>]`);
  if (known === 'path' && !argument.startsWith('/dev/'))
    throw new DeviceSelectorError(`${JSON.stringify(text)}: path needs a path below /dev`);
  return { resource, kind: known, argument };
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

const NODES: Readonly<Record<'tty' | 'gpio' | 'i2c' | 'video', RegExp>> = {
  tty: /^\/dev\/tty(USB|ACM|AMA|S)\d+$/,
  gpio: /^\/dev\/gpio(chip\d+|mem\d*)$/,
  i2c: /^\/dev\/i2c-\d+$/,
  video: /^\/dev\/video\d+$/,
};

/** What of the host a selector stands for. Pure; sorted, so that everybody numbers alike. */
export function selectDevices({ kind, argument }: DeviceSelector, devices: readonly HostDevice[]): SelectedDevice[] {
  switch (kind) {
    case 'usb':
      return selectUsb(argument, devices);
    case 'serial': {
      const matches = globOf(argument || '*');
      return unique(
        devices.flatMap(({ path, serialId }) =>
          serialId !== undefined && matches(serialId) ? { id: serialId, paths: [path] } : [],
        ),
      );
    }
    case 'path': {
      const matches = globOf(argument);
      return unique(devices.flatMap(({ path }) => (matches(path) ? { id: path, paths: [path] } : [])));
    }
    default: {
      const matches = globOf(argument === '' ? '*' : `/dev/${argument}`);
      const ofKind = devices.filter(({ path }) => NODES[kind].test(path) && matches(path));
      return unique(ofKind.map(({ path }) => ({ id: path, paths: [path] })));
    }
  }
}

/** A stick with all its nodes is one device: known by its serial number, or where it has none by its port. */
function selectUsb(argument: string, devices: readonly HostDevice[]): SelectedDevice[] {
  const [vendor = '', product = '', ...serial] = argument.toLowerCase().split(':');
  const found = new Map<string, string[]>();
  for (const { path, usb } of devices) {
    if (usb === undefined || usb.vendor !== vendor || usb.product !== product) continue;
    if (serial.length > 0 && usb.serial.toLowerCase() !== serial.join(':')) continue;
    const id = `${vendor}:${product}:${usb.serial || usb.port}`;
    found.set(id, [...(found.get(id) ?? []), path]);
  }
  return unique([...found].map(([id, paths]) => ({ id, paths: paths.sort() })));
}

const unique = (devices: readonly SelectedDevice[]) =>
  [...new Map(devices.map((device) => [device.id, device])).values()].sort((a, b) => (a.id < b.id ? -1 : 1));

/** `*` stands for any characters but a slash. */
function globOf(pattern: string): (text: string) => boolean {
  const source = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', pattern === '*' ? '.*' : '[^/]*');
  const expression = new RegExp(`^${source}$`);
  return (text) => expression.test(text);
}
