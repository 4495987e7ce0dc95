import { builtinTypes } from '#api/schema/builtin-types.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import type { HistoryLimits } from '../../../store/history.ts';
import { createMemoryStore } from '../../../store/memory-store.ts';
import type { Store } from '../../../store/store.ts';
import type { AdmissionPlugin } from '../../admission/admission-plugin.ts';
import { FILTER_ORDER } from '../../chain/handler-chain.ts';
import type { Filter } from '../../chain/request-context.ts';
import { createClassifier } from '../../registry/classify.ts';
import type { ResourceDefinition } from '../../registry/resource-definition.ts';
import { storeIndexes } from '../../registry/store-indexes.ts';
import { type ApiServer, type ApiServerOptions, createApiServer } from '../api-server.ts';
import { callInMemory, type InMemoryRequest, type InMemoryResponse } from '../in-memory.ts';
import { versionInfo } from '../version-info.ts';

export interface TestServer {
  readonly server: ApiServer;
  readonly store: Store;
  readonly clock: FakeClock;
  call(
    method: string,
    url: string,
    body?: InMemoryRequest['body'],
    headers?: Record<string, string>,
  ): Promise<InMemoryResponse>;
  /** The decoded answer; fails the test for any other status. */
  expect<T = Answer>(status: number, method: string, url: string, body?: InMemoryRequest['body']): Promise<T>;
}

// biome-ignore lint/suspicious/noExplicitAny: tests read answers of many shapes.
export type Answer = any;

export interface TestServerOptions {
  readonly definitions: readonly ResourceDefinition[];
  readonly admission?:
    | readonly AdmissionPlugin[]
    | ((parts: { store: Store; clock: FakeClock }) => readonly AdmissionPlugin[]);
  /** More parts, of those that the server stands on. */
  readonly extend?: (parts: { store: Store; clock: FakeClock }) => Partial<ApiServerOptions>;
  /** Replaces filters of the same name; the others let everything pass. */
  readonly filters?: readonly Filter[];
  readonly historyLimits?: Partial<HistoryLimits>;
  /** Uniform in [0, 1); absent: 27 draws in turn, one for each character of a generated name. */
  readonly random?: () => number;
}

/** An API server over a memory store and a clock that stands still; everybody may do everything. */
export function createTestServer(options: TestServerOptions): TestServer {
  const clock = new FakeClock();
  const store = createMemoryStore({
    clock,
    log: silentLogger,
    classify: createClassifier(options.definitions),
    freezeObjects: true,
    ...(options.historyLimits === undefined ? {} : { historyLimits: options.historyLimits }),
    indexes: storeIndexes(options.definitions),
  });
  let uids = 0;
  let draws = 0;
  const server = createApiServer({
    store,
    types: builtinTypes(),
    definitions: options.definitions,
    filters: FILTER_ORDER.map((name) => options.filters?.find((filter) => filter.name === name) ?? passing(name)),
    admission:
      typeof options.admission === 'function' ? options.admission({ store, clock }) : (options.admission ?? []),
    dialer: { dial: () => Promise.reject(new Error('nothing to dial')) },
    tokens: { issue: () => Promise.reject(new Error('no tokens')) },
    clock,
    log: silentLogger,
    random: options.random ?? (() => (draws++ % 27) / 27),
    newUid: () => `uid-${++uids}`,
    version: versionInfo('0.0.0-test'),
    serverAddress: '127.0.0.1:6443',
    ...options.extend?.({ store, clock }),
  });
  const call: TestServer['call'] = (method, url, body, headers) =>
    callInMemory(server.handle, {
      method,
      url,
      ...(body === undefined ? {} : { body }),
      ...(headers === undefined ? {} : { headers }),
    });
  return {
    server,
    store,
    clock,
    call,
    async expect(status, method, url, body) {
      const response = await call(method, url, body);
      const text = await response.text();
      if (response.status !== status) throw new Error(`${method} ${url}: ${response.status} ${text}, not ${status}`);
      return JSON.parse(text);
    },
  };
}

function passing(name: string): Filter {
  return { name, run: (_context, next) => next() };
}
