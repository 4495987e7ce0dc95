import { describe, expect, it } from 'vitest';
import { callInMemory } from '../server/in-memory.ts';
import { createSecuredServer } from '../testing/secured-server.ts';
import { type AuditPolicy, parseAuditPolicy } from './audit-policy.ts';

const policyOf = (...rules: object[]): AuditPolicy =>
  parseAuditPolicy({ apiVersion: 'audit.k8s.io/v1', kind: 'Policy', rules }, 'policy');

interface AuditEvent {
  readonly stage: string;
  readonly [field: string]: unknown;
}

const admin = { peer: { certificate: { commonName: 'ann', organizations: ['system:masters'] } } };

/** Events of the requests by ann. */
async function audited(
  policy: AuditPolicy,
  run: (
    call: (method: string, url: string, body?: object | string, type?: string) => Promise<unknown>,
  ) => Promise<unknown>,
): Promise<AuditEvent[]> {
  const server = await createSecuredServer({ auditPolicy: policy });
  try {
    const from = server.auditLines.length;
    await run((method, url, body, type) =>
      server.call({
        method,
        url,
        ...admin,
        ...(body === undefined ? {} : { body }),
        headers: { 'user-agent': 'test', ...(type === undefined ? {} : { 'content-type': type }) },
      }),
    );
    return server.auditLines.slice(from).map((line) => JSON.parse(line) as AuditEvent);
  } finally {
    server.stop();
  }
}

const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'a' }, data: { k: 'v' } };
const CONFIG_MAPS = '/api/v1/namespaces/default/configmaps';
const ofAnn = { users: ['ann'] };

describe('the audit of a whole server', () => {
  it('tells of a creation in its stages, fields in the order of Kubernetes', async () => {
    const events = await audited(policyOf({ ...ofAnn, level: 'RequestResponse' }), (call) =>
      call('POST', CONFIG_MAPS, configMap),
    );
    expect(events.map(({ stage }) => stage)).toEqual(['RequestReceived', 'ResponseComplete']);
    const [received, complete] = events;
    expect(received).not.toHaveProperty('requestObject');
    expect(received).not.toHaveProperty('responseStatus');
    expect(Object.keys(complete!)).toEqual([
      'kind',
      'apiVersion',
      'level',
      'auditID',
      'stage',
      'requestURI',
      'verb',
      'user',
      'sourceIPs',
      'userAgent',
      'objectRef',
      'responseStatus',
      'requestObject',
      'responseObject',
      'requestReceivedTimestamp',
      'stageTimestamp',
      'annotations',
    ]);
    expect(complete).toMatchObject({
      level: 'RequestResponse',
      auditID: received!.auditID,
      verb: 'create',
      requestURI: CONFIG_MAPS,
      user: { username: 'ann', groups: ['system:masters', 'system:authenticated'] },
      objectRef: { resource: 'configmaps', namespace: 'default', name: 'a', apiVersion: 'v1' },
      responseStatus: { metadata: {}, code: 201 },
      requestObject: configMap,
      responseObject: { ...configMap, metadata: { name: 'a', namespace: 'default', uid: expect.any(String) } },
      annotations: { 'authorization.k8s.io/decision': 'allow' },
    });
  });

  it.each([
    ['Metadata', false, false],
    ['Request', true, false],
    ['RequestResponse', true, true],
  ])('at level %s', async (level, hasRequest, hasResponse) => {
    const [event] = await audited(policyOf({ ...ofAnn, level, omitStages: ['RequestReceived'] }), (call) =>
      call('POST', CONFIG_MAPS, configMap),
    );
    expect(['requestObject' in event!, 'responseObject' in event!]).toEqual([hasRequest, hasResponse]);
    // The name is the body's: it is told at every level.
    expect(event!.objectRef).toMatchObject({ name: 'a' });
  });

  it('tells a patch as it came, YAML as what it says, and a delete with its options', async () => {
    const events = await audited(
      policyOf({ ...ofAnn, level: 'Request', omitStages: ['RequestReceived'] }),
      async (call) => {
        await call('POST', CONFIG_MAPS, 'kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}', 'application/yaml');
        await call('PATCH', `${CONFIG_MAPS}/a`, { data: { x: 'y' } }, 'application/merge-patch+json');
        await call('DELETE', `${CONFIG_MAPS}/a`, { kind: 'DeleteOptions', apiVersion: 'v1', gracePeriodSeconds: 3 });
      },
    );
    expect(events.map(({ requestObject }) => requestObject)).toMatchObject([
      { kind: 'ConfigMap', metadata: { name: 'a' } },
      { data: { x: 'y' } },
      { gracePeriodSeconds: 3 },
    ]);
  });

  it('leaves managed fields out where the rule says so, of lists too', async () => {
    const rule = { ...ofAnn, level: 'RequestResponse', omitStages: ['RequestReceived'] };
    const run = async (omitManagedFields: boolean) => {
      const events = await audited(policyOf({ ...rule, omitManagedFields }), async (call) => {
        await call('POST', CONFIG_MAPS, configMap);
        await call('GET', CONFIG_MAPS);
      });
      return events.map(({ responseObject }) => JSON.stringify(responseObject).includes('managedFields'));
    };
    expect(await run(true)).toEqual([false, false]);
    expect(await run(false)).toEqual([true, true]);
  });

  it('tells of a refusal with its Status', async () => {
    const [event] = await audited(policyOf({ ...ofAnn, level: 'Metadata', omitStages: ['RequestReceived'] }), (call) =>
      call('GET', `${CONFIG_MAPS}/absent`),
    );
    expect(event!.responseStatus).toEqual({
      metadata: {},
      status: 'Failure',
      message: 'configmaps "absent" not found',
      reason: 'NotFound',
      details: { name: 'absent', kind: 'configmaps' },
      code: 404,
    });
  });

  it('tells when a watch begins and when it ends', async () => {
    const server = await createSecuredServer({ auditPolicy: policyOf({ ...ofAnn, level: 'Metadata' }) });
    try {
      const response = await callInMemory(server.handle, { method: 'GET', url: `${CONFIG_MAPS}?watch=1`, ...admin });
      response.cancel();
      await response.text();
      await expect
        .poll(() => server.auditLines.map((line) => JSON.parse(line)).filter(({ user }) => user.username === 'ann'))
        .toMatchObject([
          { stage: 'RequestReceived' },
          { stage: 'ResponseStarted', responseStatus: { code: 200 } },
          { stage: 'ResponseComplete', responseStatus: { code: 200 } },
        ]);
    } finally {
      server.stop();
    }
  });

  it('tells of credentials that were not accepted', async () => {
    const server = await createSecuredServer({ auditPolicy: policyOf({ level: 'Metadata' }) });
    try {
      const from = server.auditLines.length;
      await server.call({ method: 'GET', url: CONFIG_MAPS, token: 'wrong' });
      const events = server.auditLines.slice(from).map((line) => JSON.parse(line));
      expect(events).toMatchObject([{ stage: 'ResponseStarted', user: {}, responseStatus: { code: 401 } }]);
    } finally {
      server.stop();
    }
  });
});
