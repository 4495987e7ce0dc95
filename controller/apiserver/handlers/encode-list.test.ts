import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { encodeProtobuf } from '#api/codec/encode-protobuf.ts';
import { builtinTypes } from '#api/schema/builtin-types.ts';
import type { Clock } from '#base/clock.ts';
import { createMemoryStore } from '../../store/memory-store.ts';
import { joinPieces } from '../server/pieced-body.ts';
import { toyConfigMaps } from '../server/testing/toy-resources.ts';
import { encodeProtobufList, encodeShownList, encodeStoredList, joinInSlices } from './encode-list.ts';
import { findPage } from './list-page.ts';
import { parseSelector } from './object-selector.ts';
import { parseListOptions } from './request-options.ts';
import { TimeSlice } from './time-slice.ts';

const ITEMS = 200;
const SLICE_MS = 5;

/** Every look at it costs a millisecond: so does every item that is worked on. */
function steppingClock(): Clock {
  let nowMs = 0;
  return { now: () => nowMs, monotonic: () => nowMs++, after: () => () => {} };
}

/** How often others had their turn until the work was done. */
async function turnsDuring(work: (slice: TimeSlice) => Promise<unknown>): Promise<number> {
  let turns = 0;
  let isDone = false;
  const working = work(new TimeSlice(steppingClock())).finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await new Promise((resolve) => setImmediate(resolve));
    turns += 1;
  }
  await working;
  return turns;
}

const names = Array.from({ length: ITEMS }, (_, i) => `c${String(i).padStart(3, '0')}`);
const objects = names.map((name) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data: { text: 'two\nlines: "x"' },
}));
const stored = objects.map((object) => ({ bytes: new TextEncoder().encode(JSON.stringify(object)) }));
const frame = { kind: 'ConfigMapList', apiVersion: 'v1', metadata: { resourceVersion: '7' }, items: [] };
const show = (object: object) => object;
const textOf = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes);
const slice = () => new TimeSlice(steppingClock());

describe('a list in slices', () => {
  test('of stored bytes is the list', async () => {
    const encoded = async (items: typeof stored) => {
      const body = await encodeStoredList(frame, items, slice());
      const whole = joinPieces(body);
      expect(await joinInSlices(body, slice())).toEqual(whole);
      expect(whole.byteLength).toBe(body.byteLength);
      return JSON.parse(textOf(whole));
    };
    expect(await encoded(stored)).toEqual({ ...frame, items: objects });
    expect(await encoded(stored.slice(0, 1))).toEqual({ ...frame, items: objects.slice(0, 1) });
    expect(await encoded([])).toEqual(frame);
  });

  test.each([0, 1, ITEMS])('of %i objects reads the same as all at once, in every form', async (count) => {
    const items = objects.slice(0, count);
    const whole = { ...frame, items };
    const encode = async (media: 'json' | 'pretty' | 'yaml') =>
      textOf(await encodeShownList(frame, { items, show, media }, slice()));
    expect(await encode('json')).toBe(JSON.stringify(whole));
    expect(await encode('pretty')).toBe(`${JSON.stringify(whole, null, 2)}\n`);
    expect(parse(await encode('yaml'))).toEqual(whole);
    const type = builtinTypes().typeOf({ group: '', version: 'v1', kind: 'ConfigMapList' })!;
    expect(await encodeProtobufList(frame, { items, show }, slice())).toEqual(encodeProtobuf(whole, type));
  });

  test('gives others their turn after every slice', async () => {
    const least = ITEMS / SLICE_MS / 2;
    expect(await turnsDuring((turn) => encodeStoredList(frame, stored, turn))).toBeGreaterThan(least);
    for (const media of ['json', 'pretty', 'yaml'] as const)
      expect(
        await turnsDuring((turn) => encodeShownList(frame, { items: objects, show, media }, turn)),
      ).toBeGreaterThan(least);
  });

  test('is looked for in slices', async () => {
    const store = createMemoryStore();
    for (const { bytes } of stored)
      await store.write(`/registry/configmaps/a/${JSON.parse(textOf(bytes)).metadata.name}`, () => ({
        kind: 'put',
        value: { bytes, labels: {}, fields: {}, durability: 'durable' },
      }));
    const options = parseListOptions(new URLSearchParams('labelSelector=app'), false);
    const parts = {
      snapshot: store.snapshot(),
      prefix: '/registry/configmaps/a/',
      selector: parseSelector(toyConfigMaps, options),
      options,
      afterKey: undefined,
    };
    expect(await turnsDuring((turn) => findPage(parts, turn))).toBeGreaterThan(ITEMS / SLICE_MS / 2);
  });
});
