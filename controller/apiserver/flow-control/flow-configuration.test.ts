import { describe, expect, it } from 'vitest';
import type { ResourceInfo } from '#api/object/group-version.ts';
import type { Stored } from '#api/object/kube-object.ts';
import { callInMemory } from '../server/in-memory.ts';
import { asComponent, createSecuredServer, type SecuredServer } from '../testing/secured-server.ts';
import { AUTOUPDATE, configurationUpdate, danglingCondition, ensureFlowConfiguration } from './ensure-configuration.ts';

const existing = (facts: { mark?: string; generation?: number; spec?: unknown; name?: string; status?: object }) => {
  const { mark, generation = 1, spec = { a: 1 }, name = 'x', status } = facts;
  const annotations = mark === undefined ? undefined : { [AUTOUPDATE]: mark };
  const metadata = { name, generation, ...(annotations === undefined ? {} : { annotations }) };
  return { metadata, spec, ...(status === undefined ? {} : { status }) } as Parameters<typeof configurationUpdate>[0];
};

describe('configurationUpdate', () => {
  const wanted = { name: 'x', spec: { a: 1 }, isMandatory: false };

  it.each<[string, Parameters<typeof existing>[0], boolean, object | undefined]>([
    ['ours as it is', { mark: 'true' }, false, undefined],
    ['ours, changed', { mark: 'true', spec: { a: 2 } }, false, { mark: 'true', spec: { a: 1 } }],
    ["an administrator's", { mark: 'false', spec: { a: 2 } }, false, undefined],
    ['unmarked and never changed', { spec: { a: 2 } }, false, { mark: 'true', spec: { a: 1 } }],
    ['unmarked and changed', { generation: 2, spec: { a: 2 } }, false, { mark: 'false', spec: { a: 2 } }],
    ['mandatory, whatever its mark', { mark: 'false', spec: { a: 2 } }, true, { mark: 'true', spec: { a: 1 } }],
  ])('%s', (_, facts, isMandatory, expected) => {
    const update = configurationUpdate(existing(facts), { ...wanted, isMandatory });
    expect(update && { mark: update.metadata.annotations?.[AUTOUPDATE], spec: update.spec }).toEqual(expected);
  });

  it('leaves the shares of exempt to the administrator', () => {
    const exempt = { name: 'exempt', spec: { type: 'Exempt', exempt: { lendablePercent: 0 } }, isMandatory: true };
    const spec = { type: 'Exempt', exempt: { lendablePercent: 50 } };
    expect(configurationUpdate(existing({ mark: 'true', name: 'exempt', spec }), exempt)).toBeUndefined();
  });
});

describe('danglingCondition', () => {
  const spec = { priorityLevelConfiguration: { name: 'l' } };
  const nowMs = Date.UTC(2026, 0, 1);

  it('tells whether the level is there, and when that changed', () => {
    expect(danglingCondition(existing({ spec }), new Set(['l']), nowMs)).toEqual({
      type: 'Dangling',
      status: 'False',
      reason: 'Found',
      message: 'This FlowSchema references the PriorityLevelConfiguration object named "l" and it exists',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    });
    expect(danglingCondition(existing({ spec }), new Set(), nowMs)).toMatchObject({
      status: 'True',
      reason: 'NotFound',
    });
  });

  it('says nothing twice', () => {
    const condition = danglingCondition(existing({ spec }), new Set(['l']), nowMs);
    const told = existing({ spec, status: { conditions: [condition] } });
    expect(danglingCondition(told, new Set(['l']), nowMs + 1000)).toBeUndefined();
  });
});

type Schema = Stored<{
  spec: { matchingPrecedence: number; priorityLevelConfiguration: { name: string }; rules?: object[] };
  status?: { conditions?: { type: string; status: string }[] };
}>;

const SCHEMAS: ResourceInfo = {
  group: 'flowcontrol.apiserver.k8s.io',
  version: 'v1',
  resource: 'flowschemas',
  kind: 'FlowSchema',
  namespaced: false,
};

describe('the objects of a whole server', () => {
  const withServer = async (run: (server: SecuredServer, ensure: () => Promise<void>) => Promise<void>) => {
    const server = await createSecuredServer();
    const client = server.clientAs(asComponent('system:apiserver'));
    const ensure = () => ensureFlowConfiguration({ client, nowMs: () => Date.now() });
    try {
      await ensure();
      await run(server, ensure);
    } finally {
      server.stop();
    }
  };
  const schemasOf = (server: SecuredServer) =>
    server.clientAs(asComponent('system:apiserver')).resource<Schema>(SCHEMAS);

  it('are created once, with the level that exists, and put back when they are gone', () =>
    withServer(async (server, ensure) => {
      const schemas = schemasOf(server);
      const { items } = await schemas.fetchList();
      expect(items).toHaveLength(14);
      expect(items.every(({ status }) => status?.conditions?.[0]?.status === 'False')).toBe(true);
      const revision = server.store.revision;
      await ensure();
      expect(server.store.revision).toBe(revision);
      await schemas.delete({ name: 'exempt' });
      await ensure();
      expect((await schemas.fetch('exempt')).spec.matchingPrecedence).toBe(1);
    }));

  it('leaves what an administrator has taken over', () =>
    withServer(async (server, ensure) => {
      const schemas = schemasOf(server);
      const probes = await schemas.fetch('probes');
      const metadata = { ...probes.metadata, annotations: { [AUTOUPDATE]: 'false' } };
      await schemas.update({ ...probes, metadata, spec: { ...probes.spec, matchingPrecedence: 3 } });
      await ensure();
      expect((await schemas.fetch('probes')).spec.matchingPrecedence).toBe(3);
    }));

  it('decide about requests as soon as they are stored, and are told in headers', () =>
    withServer(async (server) => {
      const who = { peer: { certificate: { commonName: 'ann', organizations: ['dev'] } } };
      const url = '/api/v1/namespaces/default/configmaps';
      const uidOf = async (name: string) => (await schemasOf(server).fetch(name)).metadata.uid;
      const told = async () => {
        const { headers } = await callInMemory(server.handle, { method: 'GET', url, ...who });
        return headers['x-kubernetes-pf-flowschema-uid'];
      };
      expect(await told()).toBe(await uidOf('global-default'));
      await schemasOf(server).create({
        metadata: { name: 'dev' },
        spec: {
          matchingPrecedence: 50,
          priorityLevelConfiguration: { name: 'workload-low' },
          rules: [
            {
              subjects: [{ kind: 'Group', group: { name: 'dev' } }],
              resourceRules: [{ verbs: ['*'], apiGroups: ['*'], resources: ['*'], namespaces: ['*'] }],
            },
          ],
        },
      });
      expect(await told()).toBe(await uidOf('dev'));
    }));
});
