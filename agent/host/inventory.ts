/** What the machine is made of. It takes a second and forks programs: for `coracle doctor host`, never for anything periodic. */
export interface Inventory {
  /** Empty where the firmware does not tell. */
  readonly manufacturer: string;
  readonly model: string;
  /** Revision code of a Raspberry Pi. */
  readonly revision: string | undefined;
  readonly cpu: { readonly brand: string; readonly cores: number };
  /** null where there is no sensor. */
  readonly temperatureCelsius: number | null;
  readonly disks: readonly { readonly name: string; readonly type: string; readonly sizeBytes: number }[];
}

/** The library is loaded here, on demand: its memory would stay with an agent for ever. */
export async function readInventory(): Promise<Inventory> {
  const { default: si } = await import('systeminformation');
  const [system, cpu, temperature, devices] = await Promise.all([
    si.system(),
    si.cpu(),
    si.cpuTemperature(),
    si.blockDevices(),
  ]);
  return {
    manufacturer: system.manufacturer,
    model: system.model,
    revision: system.raspberry === undefined ? undefined : system.version,
    cpu: { brand: cpu.brand, cores: cpu.cores },
    temperatureCelsius: temperature.main,
    disks: devices
      .filter(({ type, size, name }) => type === 'disk' && size > 0 && !name.startsWith('zram'))
      .map(({ name, physical, size }) => ({
        name,
        type: name.startsWith('mmcblk') ? 'SD or eMMC' : physical,
        sizeBytes: size,
      })),
  };
}

/** In one line, as somebody says it who tells of their trouble. */
export function describeMachine({ manufacturer, model, revision, cpu, temperatureCelsius, disks }: Inventory): string {
  const name = [manufacturer, model].filter((word) => word !== '').join(' ') || 'unknown';
  return [
    `machine: ${name}${revision === undefined ? '' : ` (revision ${revision})`}`,
    `${cpu.cores} cores of ${cpu.brand}`,
    ...(temperatureCelsius === null ? [] : [`${Math.round(temperatureCelsius)} °C`]),
    ...disks.map((disk) => `disk ${disk.name} ${disk.type} ${Math.round(disk.sizeBytes / 1e9)} GB`),
  ].join(', ');
}
