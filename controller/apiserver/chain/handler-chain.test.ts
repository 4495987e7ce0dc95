import { describe, expect, test } from 'vitest';
import { ApiError, forbidden, tooManyRequests } from '#api/object/api-error.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { callInMemory } from '../server/in-memory.ts';
import { renderWarnings } from './chain-response.ts';
import {
  createHandlerChain,
  FILTER_ORDER,
  type HandlerChainOptions,
  orderFilters,
  parseGoDuration,
  type RequestOutcome,
} from './handler-chain.ts';
import type { Filter } from './request-context.ts';
import { sendText } from './status-answer.ts';

const filter = (name: string, run: Filter['run'] = (_context, next) => next()): Filter => ({ name, run });

function chain(parts: Partial<HandlerChainOptions>) {
  const clock = new FakeClock();
  const codes: number[] = [];
  const { handle } = createHandlerChain({
    publicEndpoint: () => undefined,
    filters: [],
    dispatch: async (context) => sendText(context.response, 200, 'ok'),
    observer: { onStart() {}, onEnd: (_: unknown, { statusCode }: RequestOutcome) => codes.push(statusCode) },
    clock,
    log: silentLogger,
    newAuditId: () => 'audit-1',
    ...parts,
  });
  return { clock, codes, get: (url: string) => callInMemory(handle, { method: 'GET', url }) };
}

test('filters run in the order of the table, whatever order they came in', async () => {
  const seen: string[] = [];
  const noting = FILTER_ORDER.toReversed().map((name) =>
    filter(name, (_context, next) => {
      seen.push(name);
      return next();
    }),
  );
  await chain({ filters: orderFilters(noting) }).get('/x');
  expect(seen).toEqual([...FILTER_ORDER]);
});

test('an answer that breaks off is told as such, one that failed whole is not', async () => {
  const aborted: boolean[] = [];
  const observer = { onStart() {}, onEnd: (_: unknown, { isAborted }: RequestOutcome) => aborted.push(isAborted) };
  const breakOff: Filter['run'] = async (context) => {
    context.response.stream(200, {}).end();
    throw new Error('broken');
  };
  await chain({ observer, filters: [filter('x', breakOff)] }).get('/x');
  await chain({ observer, filters: [filter('x', () => Promise.reject(new Error('broken')))] }).get('/x');
  expect(aborted).toEqual([true, false]);
});

describe('orderFilters refuses', () => {
  const all = FILTER_ORDER.map((name) => filter(name));
  test.each([
    ['a chain that does not authorize', all.slice(0, -1), 'lacks its authorize filter'],
    ['two filters of one name', [...all, filter('audit')], 'two filters of one name'],
    ['a filter without a place', [...all, filter('sneak')], 'knows no place for sneak'],
  ])('%s', (_name, filters, message) => {
    expect(() => orderFilters(filters)).toThrow(message);
  });
});

describe('what a link throws', () => {
  test.each([
    ['an ApiError', forbidden({ group: '', resource: 'pods' }, 'x', 'because'), 403, 'pods "x" is forbidden: because'],
    ['anything else', new TypeError('boom'), 500, 'Internal error occurred: boom'],
  ])('%s is answered as a Status', async (_name, err, code, message) => {
    const { get, codes } = chain({ dispatch: () => Promise.reject(err) });
    const response = await get('/x');
    expect(await response.json()).toMatchObject({ kind: 'Status', status: 'Failure', code, message });
    expect([response.status, response.headers['audit-id'], codes]).toEqual([code, 'audit-1', [code]]);
  });

  test('says when to come back', async () => {
    const { get } = chain({ dispatch: () => Promise.reject(tooManyRequests('slow down', 3)) });
    expect((await get('/x')).headers['retry-after']).toBe('3');
  });
});

test('a request that outlives its deadline is answered with 504', async () => {
  let finish: () => void = () => {};
  const { clock, get } = chain({
    async dispatch(context) {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      sendText(context.response, 200, 'too late');
    },
  });
  const answer = get('/api/v1/pods?timeout=10s');
  await clock.advance(10_500);
  const response = await answer;
  finish();
  expect([response.status, (await response.json<{ reason: string }>()).reason]).toEqual([504, 'Timeout']);
});

test('a path that cannot be read is a bad request', async () => {
  expect((await chain({}).get('/api/v1/pods/%zz')).status).toBe(400);
  expect((await chain({}).get('/api/v1/pods?timeout=soon')).status).toBe(400);
});

test('public endpoints answer before any filter', async () => {
  const { get } = chain({
    filters: [filter('authenticate', () => Promise.reject(new ApiError(401, 'Unauthorized', 'no')))],
    publicEndpoint: (context) =>
      context.info.path === '/healthz' ? Promise.resolve(sendText(context.response, 200, 'ok')) : undefined,
  });
  expect((await get('/healthz')).status).toBe(200);
  expect((await get('/metrics')).status).toBe(401);
});

test('warnings are quoted, said once, and cannot forge headers', () => {
  expect(renderWarnings(['a "b"', 'a "b"', 'x\r\nset-cookie: y'])).toEqual([
    '299 - "a \\"b\\""',
    '299 - "x  set-cookie: y"',
  ]);
});

test('a warning is cut only where all of them would be too much', () => {
  const long = 'w'.repeat(1000);
  expect(renderWarnings([long])).toEqual([`299 - "${long}"`]);
  const many = Array.from({ length: 30 }, (_, i) => `${i} ${long}`);
  const cut = renderWarnings(many);
  expect(cut[0]).toBe(`299 - "0 ${'w'.repeat(254)}"`);
  expect(cut.length).toBe(15);
});

test.each([
  ['1m30s', 90_000],
  ['500ms', 500],
  ['0', 0],
  ['1.5h', 5_400_000],
  ['5', undefined],
  ['-1s', undefined],
  ['', undefined],
])('parseGoDuration(%j) is %j', (text, expected) => {
  expect(parseGoDuration(text)).toBe(expected);
});
