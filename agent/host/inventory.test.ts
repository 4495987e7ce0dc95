import { describe, expect, it } from 'vitest';
import { describeMachine, type Inventory, readInventory } from './inventory.ts';

const PI: Inventory = {
  manufacturer: 'Raspberry Pi Foundation',
  model: 'Raspberry Pi 4 Model B Rev 1.4',
  revision: 'c03114',
  cpu: { brand: 'Cortex-A72', cores: 4 },
  temperatureCelsius: 51.6,
  disks: [{ name: 'mmcblk0', type: 'SD or eMMC', sizeBytes: 63_864_569_856 }],
};
const BARE: Inventory = {
  ...PI,
  manufacturer: '',
  model: '',
  revision: undefined,
  temperatureCelsius: null,
  disks: [],
};

describe('the machine', () => {
  it.each([
    [
      'a Raspberry Pi',
      PI,
      'machine: Raspberry Pi Foundation Raspberry Pi 4 Model B Rev 1.4 (revision c03114), 4 cores of Cortex-A72, 52 °C, disk mmcblk0 SD or eMMC 64 GB',
    ],
    ['one that tells little', BARE, 'machine: unknown, 4 cores of Cortex-A72'],
  ])('is told of in a line: %s', (_, inventory, line) => {
    expect(describeMachine(inventory)).toBe(line);
  });

  it('that this is, is found', async () => {
    const { cpu, disks } = await readInventory();
    expect(cpu.cores).toBeGreaterThan(0);
    for (const { sizeBytes } of disks) expect(sizeBytes).toBeGreaterThan(0);
  });
});
