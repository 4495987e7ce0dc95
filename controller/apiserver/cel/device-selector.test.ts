import { expect, it } from 'vitest';
import { compileDeviceSelector } from './device-selector.ts';

const DEVICE = {
  driver: 'gpu.example.com',
  device: {
    name: 'gpu-0',
    attributes: {
      model: { string: 'A100' },
      index: { int: 3 },
      'gpu.example.com/healthy': { bool: true },
      'other.example.com/firmware': { version: '1.10.2' },
    },
    capacity: { memory: { value: '40Gi' } },
  },
};

const select = (expression: string) => {
  const selection = compileDeviceSelector(expression);
  return selection.ok ? selection.matches(DEVICE) : selection.message;
};

it.each([
  ['device.driver == "gpu.example.com"', true],
  ['device.attributes["gpu.example.com"].model == "A100"', true],
  ['device.attributes["gpu.example.com"].index > 3', false],
  ['device.attributes["gpu.example.com"].healthy', true],
  ['"model" in device.attributes["nobody.example.com"]', false],
  ['device.attributes["other.example.com"].firmware.isGreaterThan(semver("1.9.0"))', true],
  ['device.capacity["gpu.example.com"].memory.compareTo(quantity("41Gi")) < 0', true],
  ['device.allowMultipleAllocations', false],
])('%s is %s', (expression, expected) => {
  expect(select(expression)).toBe(expected);
});

it('tells what is wrong with an expression, and with a device that lacks what it reads', () => {
  expect(select('device.colour == "red"')).toContain('undefined field');
  expect(select('"text"')).toBe('must evaluate to bool or the unknown type, not string');
  expect(() => select('device.attributes["gpu.example.com"].nothing == 1')).toThrow('no such key: nothing');
});
