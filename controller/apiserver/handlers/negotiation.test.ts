import { expect, test } from 'vitest';
import { negotiate } from './negotiation.ts';

const KUBECTL_GET =
  'application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json';

test.each([
  [undefined, 'json', 'Object'],
  ['*/*', 'json', 'Object'],
  [KUBECTL_GET, 'json', 'Table'],
  ['application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json', 'json', 'Object'],
  ['application/vnd.kubernetes.protobuf,application/json', 'protobuf', 'Object'],
  [
    'application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io',
    'protobuf',
    'PartialObjectMetadata',
  ],
  ['*/*, application/yaml', 'yaml', 'Object'],
  ['application/json; charset=utf-8 ; q=0.4, application/vnd.kubernetes.protobuf;q=0.5', 'protobuf', 'Object'],
  ['application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io', 'json', 'PartialObjectMetadataList'],
  ['application/json;as=Table;v=v7;g=meta.k8s.io,application/yaml', 'yaml', 'Object'],
  ['text/html;q=0.9, application/yaml;q=0.5, application/json;q=0.1', 'yaml', 'Object'],
])('Accept: %s is answered as %s %s', (accept, media, as) => {
  expect(negotiate(accept)).toMatchObject({ media, as });
});

const PROTOBUF = 'application/vnd.kubernetes.protobuf';

test('custom resources are protobuf for their metadata alone', () => {
  expect(() => negotiate(PROTOBUF, true)).toThrow('only the following media types are accepted');
  expect(negotiate(`${PROTOBUF},application/json`, true)).toMatchObject({ media: 'json' });
  expect(negotiate(`${PROTOBUF};as=PartialObjectMetadata;v=v1;g=meta.k8s.io`, true)).toMatchObject({
    media: 'protobuf',
  });
});

test.each(['text/html', 'application/json;as=Chart;v=v1;g=meta.k8s.io', 'application/json;q=0'])(
  'Accept: %s cannot be fulfilled',
  (accept) => {
    expect(() => negotiate(accept)).toThrow('only the following media types are accepted');
  },
);
