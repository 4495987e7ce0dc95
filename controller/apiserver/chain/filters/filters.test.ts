import { describe, expect, it, vi } from 'vitest';
import { ApiError, notFound } from '#api/object/api-error.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import { createAuditBuffer } from '../../audit/audit-buffer.ts';
import { SecurityMetrics } from '../../metrics/security-metrics.ts';
import { fakeContext } from '../../testing/fake-request.ts';
import type { AuthorizationAttributes, Authorizer, UserInfo } from '../request-context.ts';
import { createAuditFilter } from './audit.ts';
import { createAuthorizeFilter } from './authorize.ts';
import { createImpersonateFilter } from './impersonate.ts';

const done = () => Promise.resolve();
const user = (name: string, ...groups: string[]): UserInfo => ({ name, groups });
const allowing = (allow: (attributes: AuthorizationAttributes) => boolean): Authorizer => ({
  name: 'test',
  authorize: (attributes) => ({ decision: allow(attributes) ? 'allow' : 'noOpinion', reason: '' }),
});

describe('the authorize filter', () => {
  it('answers 403 unless the authorizer allows', async () => {
    const filter = createAuthorizeFilter({
      authorizer: allowing(({ verb }) => verb === 'get'),
      metrics: new SecurityMetrics(),
    });
    await filter.run(fakeContext({ info: { verb: 'get' } }), done);
    const next = vi.fn(done);
    await expect(filter.run(fakeContext({ info: { verb: 'list' } }), next)).rejects.toMatchObject({
      code: 403,
      message: 'pods is forbidden: User "ann" cannot list resource "pods" in API group "" at the cluster scope',
    });
    expect(next).not.toHaveBeenCalled();
  });
});

describe('the audit filter', () => {
  const clock = new FakeClock();
  const run = async (facts: Parameters<typeof fakeContext>[0], next: () => Promise<void> = done) => {
    const lines: string[] = [];
    const filter = createAuditFilter({ write: (line) => lines.push(line), clock });
    await filter.run(fakeContext(facts), next).catch(() => {});
    return lines.map((line) => JSON.parse(line));
  };

  it.each<[string, Parameters<typeof fakeContext>[0], number]>([
    ['a write', { info: { verb: 'create' } }, 1],
    ['a read', { info: { verb: 'list' } }, 0],
    ['an event', { info: { verb: 'create', resource: 'events' } }, 0],
    ['a heartbeat', { info: { verb: 'update', resource: 'leases' }, user: user('system:node:a') }, 0],
    ["a person's lease", { info: { verb: 'update', resource: 'leases' } }, 1],
    ['an access review', { info: { verb: 'create', group: 'authorization.k8s.io' } }, 0],
  ])('writes %s as the policy says', async (_, facts, lines) => {
    expect(await run(facts)).toHaveLength(lines);
  });

  it('tells who did what, as whom, and how it ended', async () => {
    const info = { verb: 'delete', namespace: 'n', name: 'p' };
    const [event] = await run({ info, headers: { 'user-agent': 'kubectl' } }, () =>
      Promise.reject(notFound({ group: '', resource: 'pods' }, 'p')),
    );
    expect(event).toMatchObject({
      kind: 'Event',
      apiVersion: 'audit.k8s.io/v1',
      level: 'Metadata',
      auditID: 'audit-1',
      verb: 'delete',
      user: { username: 'ann' },
      sourceIPs: ['10.0.0.9'],
      userAgent: 'kubectl',
      objectRef: { resource: 'pods', namespace: 'n', name: 'p', apiVersion: 'v1' },
      responseStatus: { code: 404, reason: 'NotFound' },
    });
  });

  it('writes every refusal', async () => {
    const events = await run({ info: { verb: 'get' } }, () => Promise.reject(new ApiError(403, 'Forbidden', 'no')));
    expect(events).toHaveLength(1);
  });
});

describe('the audit buffer', () => {
  it('appends in batches, and drops rather than grows without bound', async () => {
    const clock = new FakeClock();
    const written: string[] = [];
    const append = async (bytes: Uint8Array) => void written.push(new TextDecoder().decode(bytes));
    const buffer = createAuditBuffer({ append, clock, log: silentLogger, maxBytes: 10 });
    for (const line of ['aäa', 'bbbb', 'cccc']) buffer.write(line);
    expect(written).toEqual([]);
    await clock.advance(1000);
    expect(written).toEqual(['aäa\nbbbb\n']);
    buffer.write('dddd');
    await buffer.flush();
    expect(written).toEqual(['aäa\nbbbb\n', 'dddd\n']);
    expect(buffer.counts).toEqual({ lines: 4, dropped: 1 });
  });

  it('appends whole lines, however long and many', async () => {
    const clock = new FakeClock();
    const pieces: string[] = [];
    const append = async (bytes: Uint8Array) => void pieces.push(new TextDecoder().decode(bytes));
    const buffer = createAuditBuffer({ append, clock, log: silentLogger, maxBytes: 2 ** 24 });
    const lines = Array.from(
      { length: 300 },
      (_, i) => `${i} ${'ü'.repeat((i * 977) % 100_000 < 90_000 ? 300 : 90_000)}`,
    );
    for (const line of lines) buffer.write(line);
    await buffer.flush();
    expect(pieces.every((piece) => piece.endsWith('\n'))).toBe(true);
    expect(pieces.join('')).toBe(`${lines.join('\n')}\n`);
    expect(pieces.length).toBeLessThan(40);
  });
});

describe('the impersonate filter', () => {
  const run = async (
    headers: Record<string, string | string[]>,
    allow: (a: AuthorizationAttributes) => boolean = () => true,
  ) => {
    const context = fakeContext({ headers, user: user('admin') });
    await createImpersonateFilter({ authorizer: allowing(allow) }).run(context, done);
    return context;
  };

  it('leaves other requests alone', async () => {
    const context = await run({});
    expect([context.user.name, context.impersonator]).toEqual(['admin', undefined]);
  });

  it('becomes the user with groups and extra', async () => {
    const context = await run({
      'impersonate-user': 'ann',
      'impersonate-group': ['dev', 'ops, night'],
      'impersonate-extra-acme.com%2fteam': 'a',
    });
    expect(context.user).toEqual({
      name: 'ann',
      groups: ['dev', 'ops, night', 'system:authenticated'],
      extra: { 'acme.com/team': ['a'] },
    });
    expect(context.impersonator?.name).toBe('admin');
  });

  it('gives a ServiceAccount its own groups', async () => {
    const context = await run({ 'impersonate-user': 'system:serviceaccount:n:sa' });
    expect(context.user.groups).toEqual(['system:serviceaccounts', 'system:serviceaccounts:n', 'system:authenticated']);
  });

  it('needs the right for every part', async () => {
    const headers = { 'impersonate-user': 'ann', 'impersonate-group': 'system:masters' };
    await expect(run(headers, ({ resource }) => resource === 'users')).rejects.toThrow(
      'groups "system:masters" is forbidden: User "admin" cannot impersonate resource "groups"',
    );
    await expect(
      run({ 'impersonate-user': 'system:serviceaccount:n:sa' }, ({ namespace }) => namespace !== 'n'),
    ).rejects.toThrow('cannot impersonate resource "serviceaccounts" in API group "" in the namespace "n"');
  });

  it('refuses details of nobody instead of answering as the caller', async () => {
    await expect(run({ 'impersonate-group': 'x' })).rejects.toMatchObject({ code: 400 });
    await expect(run({ 'impersonate-uid': 'x' })).rejects.toMatchObject({ code: 400 });
    await expect(run({ 'impersonate-extra-team': 'x' })).rejects.toMatchObject({ code: 400 });
  });

  it('adds no standing to one that was asked for', async () => {
    const groups = async (name: string, group: string) =>
      (await run({ 'impersonate-user': name, 'impersonate-group': group })).user.groups;
    expect(await groups('ann', 'system:unauthenticated')).toEqual(['system:unauthenticated']);
    expect(await groups('system:anonymous', 'x')).toEqual(['x', 'system:unauthenticated']);
  });
});
