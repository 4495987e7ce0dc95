import { expect, it } from 'vitest';
import { builtinResources } from '../resources/builtin-resources.ts';
import { createTestServer } from '../server/testing/test-server.ts';

const PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';
const OLD_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';

const { call } = createTestServer({
  definitions: builtinResources({
    podSubresources: [],
    nodeSubresources: [],
    serviceSubresources: [],
    serviceCidr: '10.96.0.0/16',
    nodePortRange: { from: 30_000, to: 32_767 },
    nowMs: () => 0,
    random: () => 0,
  }),
});

it.each([
  { path: '/openapi/v2', accept: undefined, status: 200, contentType: 'application/json' },
  { path: '/openapi/v2', accept: 'application/json, */*', status: 200, contentType: 'application/json' },
  { path: '/openapi/v2', accept: PROTOBUF, status: 200, contentType: PROTOBUF },
  { path: '/openapi/v2', accept: OLD_PROTOBUF, status: 200, contentType: PROTOBUF },
  { path: '/openapi/v2', accept: `application/json;q=0.5, ${PROTOBUF}`, status: 200, contentType: PROTOBUF },
  { path: '/openapi/v2', accept: 'text/html', status: 406, contentType: 'application/json' },
  { path: '/openapi/v3/apis/apps/v1', accept: 'application/json', status: 200, contentType: 'application/json' },
  { path: '/openapi/v3/apis/apps/v1', accept: PROTOBUF, status: 406, contentType: 'application/json' },
])('$path for $accept: $status', async ({ path, accept, status, contentType }) => {
  const answer = await call('GET', path, undefined, accept === undefined ? {} : { accept });
  expect(answer).toMatchObject({ status, headers: { 'content-type': contentType } });
});

it('tells a client that it has the form already, and the other form apart', async () => {
  const { headers } = await call('GET', '/openapi/v2', undefined, { accept: PROTOBUF });
  const again = { 'if-none-match': String(headers.etag) };
  expect((await call('GET', '/openapi/v2', undefined, { accept: PROTOBUF, ...again })).status).toBe(304);
  expect((await call('GET', '/openapi/v2', undefined, again)).status).toBe(200);
});
