import { createTestServer, type TestServer, type TestServerOptions } from '../../server/testing/test-server.ts';
import { type BuiltinResourceOptions, builtinResources } from '../builtin-resources.ts';

/** An API server of all built-in kinds over a memory store, without security. */
export function createResourceServer(
  options: Partial<BuiltinResourceOptions> = {},
  server: Omit<TestServerOptions, 'definitions'> = {},
): TestServer {
  return createTestServer({
    ...server,
    definitions: builtinResources({
      podSubresources: [],
      nodeSubresources: [],
      serviceSubresources: [],
      serviceCidr: '10.96.0.0/16',
      nodePortRange: { from: 30_000, to: 32_767 },
      nowMs: () => Date.UTC(2026, 0, 1),
      random: () => 0.5,
      ...options,
    }),
  });
}
