import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer, type Server } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KubeClient } from '#api/client/client.ts';
import { parseJoinToken } from '#api/client/join-token.ts';
import { ApiError } from '#api/object/api-error.ts';
import type { ResourceInfo } from '#api/object/group-version.ts';
import { type CertificateSigningRequest, type Node, resources } from '#api/object/kinds.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createCsrApprover } from '#controller/controllers/certificates/approver.ts';
import { createCsrSigningController } from '#controller/controllers/certificates/signer.ts';
import { type ClusterPki, openClusterPki } from '#controller/pki/cluster-pki.ts';
import { createCsrSigner } from '#controller/pki/csr-signer.ts';
import { createControllerHarness } from '#test/kit/controller-harness.ts';
import { FakeFileSystem } from '#test/kit/fake-file-system.ts';
import { tightenPrivateFiles } from '../host/private-files.ts';
import { runIdentityRenewal } from './identity-renewal.ts';
import {
  type ConnectCredentials,
  ensureNodeIdentity,
  type IdentityPart,
  type NodeIdentity,
  type NodeIdentityOptions,
} from './node-identity.ts';

const TOKEN = 'abcdef.0123456789abcdef';
const DAY_MS = 86_400_000;
const ACCESS_REVIEW = 'subjectaccessreviews';

let dir: string;
let pki: ClusterPki;
let server: Server;
let harness: ReturnType<typeof createControllerHarness>;
let fs: FakeFileSystem;
let connections: ConnectCredentials[];

/** What the API server adds to the in-memory cluster: who asks, and whether they may. */
function clientAs(username: string, groups: readonly string[]): KubeClient {
  return {
    ...harness.client,
    resource(info: ResourceInfo) {
      const api = harness.client.resource(info) as unknown as Record<string, unknown> & {
        create(o: object): Promise<object>;
      };
      return new Proxy(api, {
        get: (target, name) =>
          name === 'create'
            ? (object: { spec: object }) =>
                info.resource === ACCESS_REVIEW
                  ? Promise.resolve({ ...object, status: { allowed: true } })
                  : target.create({ ...object, spec: { ...object.spec, username, groups } })
            : (target[name as string] as (...args: unknown[]) => unknown).bind(target),
      }) as never;
    },
  };
}

const userOf = (credentials: ConnectCredentials): string => {
  const subject = credentials.keyPair && new X509Certificate(credentials.keyPair.certificatePem).subject;
  return subject === undefined ? 'system:bootstrap:abcdef' : /^CN=(.*)$/m.exec(subject)![1]!;
};

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'identity-'));
  harness = createControllerHarness();
  const { clock } = harness;
  pki = await openClusterPki({
    dir,
    clock,
    log: silentLogger,
    hostnames: [],
    addresses: [],
    serviceIp: '10.96.0.1',
    clusterDomain: 'cluster.local',
  });
  server = createServer({ cert: pki.serving.certificatePem, key: pki.serving.privateKeyPem });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  fs = new FakeFileSystem();
  fs.seed('/var/lib/coracle/x', '');
  connections = [];
});

afterEach(async () => {
  harness.stop();
  await new Promise((resolve) => server.close(resolve));
  await rm(dir, { recursive: true });
});

const servers = () => [`https://127.0.0.1:${(server.address() as AddressInfo).port}`];

function options(changes: Partial<NodeIdentityOptions> = {}): NodeIdentityOptions {
  return {
    host: { fs },
    dir: '/var/lib/coracle/identity',
    servers: servers(),
    nodeName: 'a',
    joinToken: `${TOKEN}@${pki.caHash}`,
    clock: harness.clock,
    log: silentLogger,
    connect(credentials) {
      connections.push(credentials);
      return { client: clientAs(userOf(credentials), ['system:nodes']), close() {} };
    },
    signal: new AbortController().signal,
    ...changes,
  };
}

async function startCertificateControllers(): Promise<void> {
  const signer = createCsrSigner(pki);
  const client = clientAs('system:serviceaccount:kube-system:certificate-controller', []);
  const starts = [createCsrApprover(signer), createCsrSigningController(signer)];
  await harness.start(
    ...starts.map(
      (start): typeof start =>
        (context, signal) =>
          start({ ...context, client }, signal),
    ),
  );
}

const subjectOf = (pem: string) => new X509Certificate(pem).subject.split('\n');

describe('ensureNodeIdentity', () => {
  it('joins with a pinned CA, sends no key, and needs no token afterwards', async () => {
    await startCertificateControllers();
    const identity = await ensureNodeIdentity(options());
    expect(subjectOf(identity.node.certificatePem)).toEqual(['O=system:nodes', 'CN=system:node:a']);
    expect(subjectOf(identity.netd.certificatePem)).toEqual(['O=coracle:netd', 'CN=coracle:netd:a']);
    expect(connections.map((c) => c.token)).toEqual([TOKEN, undefined]);
    expect((await fs.info('/var/lib/coracle/identity/node.pem'))?.mode).toBe(0o600);
    // At the next start nothing is found open, and nobody is told that it was.
    expect(await tightenPrivateFiles(fs, '/var/lib/coracle/identity')).toEqual([]);
    const requests = await harness.client.resource(resources.certificateSigningRequests).fetchList();
    expect(JSON.stringify(requests.items)).not.toContain('PRIVATE KEY');

    const again = await ensureNodeIdentity(options({ joinToken: undefined, servers: ['https://127.0.0.1:1'] }));
    expect(again.node).toEqual(identity.node);
    expect(connections).toHaveLength(2);
  });

  it('gets a serving certificate for its name first, and for addresses once its Node shows them', async () => {
    await startCertificateControllers();
    const identity = await ensureNodeIdentity(options());
    const client = clientAs('system:node:a', ['system:nodes']);
    expect(await identity.ensureServing(client, [])).toBe(true);
    expect(await identity.ensureServing(client, [])).toBe(false);
    const address = { type: 'InternalIP', address: '10.0.0.7' };
    await harness.client
      .resource<Node>(resources.nodes)
      .create({ metadata: { name: 'a' }, status: { addresses: [address] } });
    await harness.settle();
    expect(await identity.ensureServing(client, ['10.0.0.7'])).toBe(true);
    expect(new X509Certificate(identity.serving!.certificatePem).subjectAltName).toBe('DNS:a, IP Address:10.0.0.7');
    const restarted = await ensureNodeIdentity(options());
    expect(restarted.serving).toEqual(identity.serving);
  });

  it('renews before its certificates expire', async () => {
    await startCertificateControllers();
    const identity = await ensureNodeIdentity(options());
    const before = identity.node;
    const abort = new AbortController();
    const renewed: IdentityPart[] = [];
    const all = Promise.withResolvers<void>();
    const running = runIdentityRenewal({
      identity,
      client: clientAs('system:node:a', ['system:nodes']),
      clock: harness.clock,
      log: silentLogger,
      signal: abort.signal,
      onRenewed: (part) => renewed.push(part) === 2 && all.resolve(),
    });
    harness.clock.jump(250 * DAY_MS);
    await harness.clock.advance(60_000);
    await all.promise;
    expect(renewed).toEqual(['node', 'netd']);
    expect(identity.node.privateKeyPem).not.toBe(before.privateKeyPem);
    abort.abort();
    await running;
  });

  it('comes back after its certificates have expired, for its old key, without a token', async () => {
    await startCertificateControllers();
    const before = await ensureNodeIdentity(options());
    harness.clock.jump(400 * DAY_MS);
    const after = await ensureNodeIdentity(options({ joinToken: undefined }));
    expect(connections.slice(2).map(({ token, keyPair }) => [token, keyPair])).toEqual([
      [undefined, before.node],
      [undefined, after.node],
    ]);
    for (const part of ['node', 'netd'] as const) {
      const { validToDate } = new X509Certificate(after[part].certificatePem);
      expect([part, validToDate.getTime() > harness.clock.now()]).toEqual([part, true]);
      expect(after[part].privateKeyPem).not.toBe(before[part].privateKeyPem);
    }
  });

  it('says why its old key is not taken, or joins again where it has a token', async () => {
    await startCertificateControllers();
    await ensureNodeIdentity(options());
    harness.clock.jump(400 * DAY_MS);
    const refuseOldKey: NodeIdentityOptions['connect'] = (credentials) => {
      const connection = options().connect(credentials);
      if (credentials.token !== undefined || subjectOf(credentials.keyPair!.certificatePem)[1]?.includes('netd'))
        return connection;
      const isOld =
        new X509Certificate(credentials.keyPair!.certificatePem).validToDate.getTime() < harness.clock.now();
      const create = () => Promise.reject(new ApiError(401, 'Unauthorized', 'the cluster has no node a any more'));
      return isOld
        ? { ...connection, client: { ...connection.client, resource: () => ({ create }) as never } }
        : connection;
    };
    await expect(ensureNodeIdentity(options({ joinToken: undefined, connect: refuseOldKey }))).rejects.toThrow(
      'the cluster has no node a any more',
    );
    const { node } = await ensureNodeIdentity(options({ connect: refuseOldKey }));
    expect(new X509Certificate(node.certificatePem).validToDate.getTime()).toBeGreaterThan(harness.clock.now());
  });

  it.each<[string, () => Partial<NodeIdentityOptions>, string]>([
    [
      'a CA that is not the pinned one',
      () => ({ joinToken: `${TOKEN}@sha256:${'0'.repeat(64)}` }),
      'but the token pins sha256:000',
    ],
    ['a token without a pin', () => ({ joinToken: TOKEN }), 'carries no CA pin'],
    ['no token', () => ({ joinToken: undefined }), 'make one with `coracle token create`'],
    ['a malformed token', () => ({ joinToken: 'hello' }), 'malformed'],
  ])('explains %s', async (_, changes, message) => {
    await expect(ensureNodeIdentity(options(changes()))).rejects.toThrow(message);
    expect(connections).toEqual([]);
  });

  it('explains a clock that is far ahead', async () => {
    harness.clock.jump(3000 * DAY_MS);
    await expect(ensureNodeIdentity(options())).rejects.toThrow('set the clock');
  });

  it('joins where the clock stands at 1970', async () => {
    await startCertificateControllers();
    const clock = new FakeClock(20_000);
    expect((await ensureNodeIdentity(options({ clock }))).node).toBeDefined();
  });

  it('explains a token that the API server does not know', async () => {
    const refused = new ApiError(401, 'Unauthorized', 'Unauthorized');
    harness.cluster.intercept = () => {
      throw refused;
    };
    await expect(ensureNodeIdentity(options())).rejects.toThrow('does not know this token');
  });

  const signingRequests = () =>
    harness.client.resource<CertificateSigningRequest>(resources.certificateSigningRequests);

  async function openRequest(): Promise<CertificateSigningRequest> {
    for (;;) {
      const [open] = (await signingRequests().fetchList()).items;
      if (open !== undefined) return open;
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  it('asks again when its request is deleted, as that of a day is, and any while the clock of the server jumps', async () => {
    let identity: NodeIdentity | undefined;
    const joining = ensureNodeIdentity(options()).then((made) => {
      identity = made;
    });
    joining.catch(() => {});
    await signingRequests().delete({ name: (await openRequest()).metadata.name });
    await startCertificateControllers();
    // Rejects with the joining, so that the loop ends.
    while (identity === undefined) await Promise.race([joining, harness.clock.advance(1_000)]);
    expect(subjectOf(identity.node.certificatePem)).toContain('CN=system:node:a');
  });

  it('explains a denied request', async () => {
    const api = signingRequests();
    const joining = ensureNodeIdentity(options());
    joining.catch(() => {});
    const open = await openRequest();
    const conditions = [{ type: 'Denied', status: 'True' as const, message: 'not today' }];
    await api.update({ ...open, status: { conditions } }, 'approval');
    await expect(joining).rejects.toThrow('was denied: not today');
  });

  it('refuses to change its name', async () => {
    await startCertificateControllers();
    await ensureNodeIdentity(options());
    await expect(ensureNodeIdentity(options({ nodeName: 'b' }))).rejects.toThrow(
      'this host joined as a but is configured as b',
    );
  });

  it('tries again while nobody answers', async () => {
    await startCertificateControllers();
    const address = servers();
    const attempt = options({ servers: ['https://127.0.0.1:1'], random: () => 0 });
    const changing = {
      ...attempt,
      get servers() {
        return harness.clock.monotonic() > 400 ? address : attempt.servers;
      },
    };
    const joining = ensureNodeIdentity(changing);
    while (harness.clock.pendingTimers === 0) await new Promise((resolve) => setImmediate(resolve));
    await harness.clock.advance(500);
    expect((await joining).nodeName).toBe('a');
  });
});

describe('parseJoinToken', () => {
  const hash = `sha256:${'a'.repeat(64)}`;
  it.each([
    [TOKEN, { token: TOKEN, caHash: undefined }],
    [`${TOKEN}@${hash}\n`, { token: TOKEN, caHash: hash }],
    [`${TOKEN}@sha256:abc`, undefined],
    ['ABCDEF.0123456789abcdef', undefined],
  ])('reads %j', (text, expected) => {
    expect(parseJoinToken(text)).toEqual(expected);
  });
});
