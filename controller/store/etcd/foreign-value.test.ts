import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withResourceVersion } from '#api/codec/resource-version.ts';
import { canonicalValue } from './foreign-value.ts';

const roundtrip = join(import.meta.dirname, '../../../../shared/reference/roundtrip');
const isPresent = existsSync(roundtrip);
if (!isPresent) console.log(`foreign-value.test: reference objects skipped, nothing at ${roundtrip}`);
const names = isPresent
  ? readdirSync(roundtrip).flatMap((name) =>
      /(?<!WatchEvent|Options|Status|AdmissionReview)\.pb$/.test(name) ? [name.slice(0, -3)] : [],
    )
  : [];

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);

describe('canonicalValue', () => {
  it.each([
    ['', '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}'],
    ['empty metadata', '{"apiVersion":"v1","kind":"RangeAllocation","metadata":{},"data":"Ag==","range":"1-9"}'],
  ])('takes our own as it is, %s', (_, own) => {
    const value = bytes(own);
    expect(canonicalValue(value)).toBe(value);
  });

  it.each([
    [
      'the order and the line feed of Go',
      '{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","creationTimestamp":null},"data":{"k":"v"}}\n',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"k":"v"}}',
    ],
    [
      'a custom kind in sorted order',
      '{"apiVersion":"x.io/v1","data":1,"kind":"W","metadata":{"name":"a"}}\n',
      '{"apiVersion":"x.io/v1","kind":"W","metadata":{"name":"a"},"data":1}',
    ],
    [
      'a revision that somebody stored',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"resourceVersion":"7","name":"a"}}',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}',
    ],
  ])('brings %s to our form', (_, foreign, own) => {
    expect(text(canonicalValue(bytes(foreign)))).toBe(own);
  });

  it.each(['', 'hello', '[]', '{}', '{"kind":"Pod"}', 'k8s\0garbage', 'k8s:enc:aesgcm:v1:k:x'])(
    'refuses what is no object: %j',
    (stored) => {
      expect(() => canonicalValue(bytes(stored))).toThrow();
    },
  );

  it.runIf(isPresent).each(names)('reads %s alike from protobuf and from the JSON of Kubernetes', (name) => {
    const fromProtobuf = canonicalValue(new Uint8Array(readFileSync(join(roundtrip, `${name}.pb`))));
    const fromJson = canonicalValue(bytes(`${readFileSync(join(roundtrip, `${name}.json`), 'utf8').trim()}\n`));
    expect(text(fromProtobuf)).toBe(text(fromJson));
    expect(text(withResourceVersion(fromProtobuf, 5))).toContain('"metadata":{"resourceVersion":"5"');
  });
});
