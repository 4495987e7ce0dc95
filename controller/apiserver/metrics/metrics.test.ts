import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Histogram, Metric } from '#base/metric.ts';
import { callInMemory } from '../server/in-memory.ts';
import { createSecuredServer, type SecuredServer } from '../testing/secured-server.ts';

describe('the text format', () => {
  it('escapes what a label may hold', () => {
    const metric = new Metric('counter', { name: 'x_total', help: 'X.', labels: ['a'] });
    metric.with('q"\\\n').value = 2;
    expect(metric.render()).toBe('# HELP x_total X.\n# TYPE x_total counter\nx_total{a="q\\"\\\\\\n"} 2\n');
  });

  it('adds buckets up', () => {
    const histogram = new Histogram({ name: 'h', help: 'H.', labels: ['a'] }, [1, 2]);
    for (const value of [0.5, 1, 1.5, 9]) histogram.with('x').observe(value);
    expect(histogram.render().split('\n').slice(2)).toEqual([
      'h_bucket{a="x",le="1"} 2',
      'h_bucket{a="x",le="2"} 3',
      'h_bucket{a="x",le="+Inf"} 4',
      'h_sum{a="x"} 12',
      'h_count{a="x"} 4',
      '',
    ]);
  });
});

describe('/metrics', () => {
  let server: SecuredServer;
  const admin = { peer: { certificate: { commonName: 'ann', organizations: ['system:masters'] } } };
  const scrape = async () => (await server.call({ method: 'GET', url: '/metrics', ...admin })).body as string;
  beforeAll(async () => {
    server = await createSecuredServer();
  });
  afterAll(() => server.stop());

  it('counts requests by the labels of Kubernetes', async () => {
    const url = '/api/v1/namespaces/default/configmaps';
    const metadata = { name: 'a' };
    await server.call({ method: 'POST', url, body: { metadata }, ...admin });
    await server.call({ method: 'GET', url, ...admin });
    await server.call({ method: 'GET', url: `${url}/absent`, ...admin });
    await server.call({ method: 'POST', url: `${url}?dryRun=All`, body: { metadata: { name: 'b' } }, ...admin });
    await server.call({
      method: 'PATCH',
      url: `${url}/a?fieldManager=x`,
      body: { apiVersion: 'v1', kind: 'ConfigMap', metadata },
      headers: { 'content-type': 'application/apply-patch+yaml' },
      ...admin,
    });
    const total = (verb: string, code: number, scope: string, dryRun = '') =>
      `apiserver_request_total{verb="${verb}",dry_run="${dryRun}",group="",version="v1",resource="configmaps",subresource="",scope="${scope}",component="apiserver",code="${code}"} 1\n`;
    // Counted once the chain has ended, which is after its answer.
    await expect.poll(scrape).toContain(total('APPLY', 200, 'resource'));
    const text = await scrape();
    expect(text).toContain(total('POST', 201, 'resource'));
    expect(text).toContain(total('POST', 201, 'resource', 'All'));
    expect(text).toContain(total('LIST', 200, 'namespace'));
    expect(text).toContain(total('GET', 404, 'resource'));
  });

  it('shows watches that run and events that were sent', async () => {
    const url = '/api/v1/namespaces/default/configmaps?watch=1';
    const watch = await callInMemory(server.handle, { method: 'GET', url, ...admin });
    await watch.chunks[Symbol.asyncIterator]().next();
    const running = (count: number) =>
      new RegExp(`^apiserver_longrunning_requests{verb="WATCH",.*resource="configmaps".*} ${count}$`, 'm');
    expect(await scrape()).toMatch(running(1));
    expect(await scrape()).toMatch(/^apiserver_watch_events_total{group="",version="v1",resource="configmaps"} [1-9]/m);
    watch.cancel();
    await expect.poll(scrape).toMatch(running(0));
  });

  it('has every line in the format, and each name described once', async () => {
    const lines = (await scrape()).trimEnd().split('\n');
    const odd = lines.filter(
      (line) => !/^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})? [-+.\deInf]+)$/.test(line),
    );
    expect(odd).toEqual([]);
    const types = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
    expect(types.filter((name, i) => types.indexOf(name) !== i)).toEqual([]);
  });

  it.each([
    'apiserver_current_inflight_requests{request_kind="readOnly"}',
    'apiserver_response_sizes_bucket',
    'apiserver_storage_objects{resource="configmaps"}',
    'apiserver_storage_objects{resource="leases.coordination.k8s.io"}',
    'apiserver_flowcontrol_dispatched_requests_total{priority_level="exempt",flow_schema="exempt"}',
    'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} 245',
    'apiserver_admission_controller_admission_duration_seconds_count{name="NamespaceLifecycle",operation="CREATE",rejected="false",type="admit"}',
    'process_cpu_seconds_total',
    'process_resident_memory_bytes',
    'process_open_fds',
    'kubernetes_build_info{major="1",minor="36"',
  ])('has %s', async (name) => {
    expect(await scrape()).toContain(name);
  });

  it('counts what authentication and authorization came to', async () => {
    const value = (text: string, name: string) =>
      Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${name} `))
          ?.split(' ')[1] ?? 0,
      );
    const names = [
      'authentication_attempts{result="success"}',
      'authentication_attempts{result="failure"}',
      'authentication_duration_seconds_count{result="success"}',
      'authenticated_user_requests{username="email_id"}',
      'authorization_attempts_total{result="allowed"}',
      'authorization_attempts_total{result="no-opinion"}',
      'apiserver_client_certificate_expiration_seconds_bucket{le="604800"}',
      'apiserver_client_certificate_expiration_seconds_bucket{le="86400"}',
    ];
    const before = await scrape();
    const url = '/api/v1/namespaces/default/secrets';
    const expiresAtMs = Date.now() + 3 * 86_400_000;
    const person = { peer: { certificate: { commonName: 'ann@example.com', organizations: [], expiresAtMs } } };
    expect((await server.call({ method: 'GET', url })).status).toBe(401);
    expect((await server.call({ method: 'GET', url, ...person })).status).toBe(403);
    const after = await scrape();
    // The second scrape counts itself.
    expect(names.map((name) => value(after, name) - value(before, name))).toEqual([2, 1, 2, 1, 1, 1, 1, 0]);
  });

  it('counts lists by their resource, and names deprecated kinds that are asked for', async () => {
    for (const namespace of ['a', 'b']) {
      await server.call({ method: 'GET', url: `/api/v1/namespaces/${namespace}/endpoints`, ...admin });
    }
    await expect.poll(scrape).toContain('apiserver_storage_list_total{group="",resource="endpoints"} 2\n');
    const asked = 'apiserver_requested_deprecated_apis{group="",version="v1",resource="endpoints"';
    expect(await scrape()).toContain(`${asked},subresource="",removed_release=""} 1\n`);
    expect(await scrape()).not.toContain(
      'apiserver_requested_deprecated_apis{group="",version="v1",resource="configmaps"',
    );
  });

  it('keeps paths of the clients’ making out of its labels', async () => {
    for (let i = 0; i < 3; i++) await server.call({ method: 'GET', url: `/made-up-${i}`, ...admin });
    expect(await scrape()).not.toContain('made-up');
  });
});
