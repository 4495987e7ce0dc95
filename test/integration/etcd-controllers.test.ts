import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Draft, KubeClient } from '#api/client/client.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { isNotFound } from '#api/object/api-error.ts';
import { type ConfigMap, type Namespace, resources, type Service } from '#api/object/kinds.ts';
import { runKubeconfigCommand } from '#controller/kubeconfig-command.ts';
import { hasSafeProgress } from '#controller/store/etcd/etcd-version.ts';
import { type ControlPlane, startControlPlane } from '../kit/control-plane.ts';
import type { ControllerProcess } from '../kit/controller-process.ts';
import { findEtcd } from '../kit/etcd-releases.ts';
import { kubectlPath, runKubectl } from '../kit/kubectl.ts';
import { waitUntil } from '../kit/wait-until.ts';

const program = findEtcd('host');
const title = 'two controllers over three members of etcd';

describe.skipIf(typeof program === 'string')(
  typeof program === 'string' ? `${title}: skipped, ${program}` : title,
  () => {
    let plane: ControlPlane;
    let clients: readonly [KubeClient, KubeClient];

    beforeAll(async () => {
      plane = await startControlPlane({ controllers: 2 });
      clients = [plane.controllers[0]!.client, plane.controllers[1]!.client];
    }, 240_000);
    afterAll(() => plane?.stop());

    const configMap = (name: string, data: Record<string, string>): Draft<ConfigMap> => ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace: 'default' },
      data,
    });

    it('serves kubectl: apply, get, watch, delete', async () => {
      const [first, second] = plane.controllers.map(localKubeconfig) as [string, string];
      const manifest = [
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
        {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'web', namespace: 'shop' },
          spec: {
            replicas: 2,
            selector: { matchLabels: { app: 'web' } },
            template: {
              metadata: { labels: { app: 'web' } },
              spec: { containers: [{ name: 'web', image: 'registry.invalid/web:1' }] },
            },
          },
        },
      ]
        .map((object) => JSON.stringify(object))
        .join('\n---\n');
      const watching = spawn(
        kubectlPath(),
        ['--kubeconfig', second, '-n', 'shop', 'get', 'pods', '--watch', '-o', 'name'],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      try {
        let watched = '';
        watching.stdout.on('data', (bytes) => {
          watched += bytes;
        });
        const applied = await runKubectl(['apply', '-f', '-'], { kubeconfig: first, stdin: manifest });
        expect(applied).toMatchObject({ code: 0, stderr: '' });
        await waitUntil(
          'both pods, through the other server',
          20_000,
          () => new Set(watched.match(/pod\/web-\S+/g)).size === 2,
        );
        const got = await runKubectl(['-n', 'shop', 'get', 'deploy,rs,pods'], { kubeconfig: second });
        expect(got.stdout.match(/web/g)!.length).toBeGreaterThanOrEqual(4);
        const gone = await runKubectl(['delete', 'ns', 'shop', '--timeout=150s'], {
          kubeconfig: second,
          timeoutMs: 200_000,
        });
        expect(gone).toMatchObject({ code: 0 });
        expect((await runKubectl(['-n', 'shop', 'get', 'pods'], { kubeconfig: first })).stderr).toContain(
          'No resources',
        );
      } finally {
        watching.kill();
      }
    });

    it('reads through one what was written through the other, at once', async () => {
      const [one, two] = [
        clients[0].resource<ConfigMap>(resources.configMaps),
        clients[1].resource<ConfigMap>(resources.configMaps),
      ];
      for (let n = 0; n < 30; n++) {
        const writer = n % 2 === 0 ? one : two;
        const reader = n % 2 === 0 ? two : one;
        const name = `m${n % 4}`;
        await writer.delete({ name, namespace: 'default' }).catch((err: unknown) => {
          if (!isNotFound(err)) throw err;
        });
        await expect(reader.fetch(name, 'default')).rejects.toMatchObject({ code: 404 });
        const created = await writer.create(configMap(name, { n: String(n) }));
        expect(await reader.fetch(name, 'default')).toEqual(created);
        // A conflict is one with the newest state, and no other is answered.
        const updated = await reader.update({ ...created, data: { n: `${n}+` } });
        await expect(writer.update(created)).rejects.toMatchObject({ code: 409 });
        const { items } = await writer.fetchList({ namespace: 'default' });
        expect(items.find(({ metadata }) => metadata.name === name)).toEqual(updated);
      }
    });

    it('offers watch lists only where etcd tells progress safely, and lists to those who ask', async () => {
      const kubeconfig = localKubeconfig(plane.controllers[1]!);
      const query =
        'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=1';
      const asked = await runKubectl(['get', '--raw', `/api/v1/namespaces?${query}`], { kubeconfig });
      if (hasSafeProgress(plane.etcd.version)) expect(asked.stdout).toContain('k8s.io/initial-events-end');
      else expect(asked.stderr).toContain('sendInitialEvents is forbidden for watch unless the WatchList feature gate');
      const paged = await runKubectl(['get', 'clusterroles', '--chunk-size=7', '-o', 'name'], { kubeconfig });
      expect(paged.stdout.trim().split('\n').length).toBeGreaterThan(50);
    });

    it('goes on from one server to the other, page by page and event by event', async () => {
      const one = clients[0].resource<ConfigMap>(resources.configMaps);
      const two = clients[1].resource<ConfigMap>(resources.configMaps);
      for (let n = 0; n < 6; n++) await one.create(configMap(`page-${n}`, {}));
      let token: string | undefined;
      const names: string[] = [];
      for (let page = 0; page === 0 || token !== undefined; page++) {
        const server = page % 2 === 0 ? one : two;
        const list = await server.fetchList({
          limit: 2,
          ...(token === undefined ? {} : { continue: token }),
        });
        names.push(...list.items.map(({ metadata: { name, namespace } }) => `${namespace}/${name}`));
        token = list.continue || undefined;
        // Between two pages the state goes on.
        await one.delete({ name: `page-${page}`, namespace: 'default' }).catch(() => {});
      }
      expect(names.filter((name) => name.startsWith('default/page-'))).toHaveLength(6);
      expect(new Set(names).size).toBe(names.length);
    });

    it('creates in a namespace that the other has just made, and gives no node port twice', async () => {
      const [one, two] = clients;
      for (let n = 0; n < 10; n++) {
        await one.resource<Namespace>(resources.namespaces).create({
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: `fresh-${n}` },
        });
        await two
          .resource<ConfigMap>(resources.configMaps)
          .create({ ...configMap('a', {}), metadata: { name: 'a', namespace: `fresh-${n}` } });
      }
      const service = (n: number): Draft<Service> => ({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: `s${n}`, namespace: 'default' },
        spec: { type: 'NodePort', ports: [{ port: 80 }] },
      });
      const made = await Promise.all(
        Array.from({ length: 40 }, (_, n) => clients[n % 2]!.resource<Service>(resources.services).create(service(n))),
      );
      const ports = made.map(({ spec }) => spec!.ports![0]!.nodePort);
      expect(new Set(ports).size).toBe(40);
      const taken = await Promise.allSettled(
        clients.map((client, n) => {
          const wanted: Service['spec'] = { type: 'NodePort', ports: [{ port: 80, nodePort: 30_007 }] };
          return client.resource<Service>(resources.services).create({ ...service(100 + n), spec: wanted });
        }),
      );
      expect(taken.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    });

    it('goes on while the leader of etcd is killed', async () => {
      const maps = clients.map((client) => client.resource<ConfigMap>(resources.configMaps));
      const leader = await plane.etcd.leader();
      const outcomes: string[] = [];
      const running = { on: true };
      const work = Array.from({ length: 6 }, async (_, id) => {
        for (let n = 0; running.on; n++) {
          const made = configMap(`load-${id}-${n}`, { n: String(n) });
          await maps[id % 2]!.create(made).then(
            () => outcomes.push('created'),
            (err: { code?: number }) => outcomes.push(String(err.code ?? err)),
          );
        }
      });
      await waitUntil('some creations', 20_000, () => outcomes.length > 60);
      await leader.end('SIGKILL');
      const before = outcomes.length;
      await waitUntil('creations after the election', 30_000, () => outcomes.length > before + 100);
      running.on = false;
      await Promise.all(work);
      leader.start();
      expect(outcomes.filter((outcome) => outcome !== 'created')).toEqual([]);
      const { items } = await maps[0]!.fetchList({ namespace: 'default' });
      expect(items.filter(({ metadata }) => metadata.name.startsWith('load-')).length).toBe(outcomes.length);
    });

    it('is reached by one kubeconfig: kubectl by context, our client through whichever server answers', async () => {
      const servers = plane.controllers.map(({ access }) => access.server);
      const kubeconfigPath = localKubeconfig(plane.controllers[0]!);
      const text = await runKubeconfigCommand({ argv: ['--servers', servers.join(',')], kubeconfigPath });
      const kubeconfig = join(plane.controllers[0]!.folder, 'both.kubeconfig');
      writeFileSync(kubeconfig, text, { mode: 0o600 });
      for (const [at, context] of ['kubernetes-admin@coracle', 'kubernetes-admin@coracle-2'].entries()) {
        const { stderr } = await runKubectl(['--context', context, 'get', 'ns', 'default', '-v=6'], { kubeconfig });
        expect(stderr).toContain(`${servers[at]}/api/v1/namespaces/default`);
      }
      const transport = createKubeconfigTransport(parseKubeconfig(text), 'test');
      const client = createKubeClient(transport);
      const read = () => client.resource<Namespace>(resources.namespaces).fetch('default');
      try {
        await read();
        for (const controller of plane.controllers) {
          await controller.end('SIGKILL');
          const fromMs = performance.now();
          await read();
          expect(performance.now() - fromMs).toBeLessThan(15_000);
          await controller.start();
        }
      } finally {
        transport.close();
      }
    });
  },
);

/** kubectl connects to what the file names; the certificate is good for loopback too. */
function localKubeconfig(controller: ControllerProcess): string {
  const path = join(controller.folder, 'kubectl.kubeconfig');
  const text = readFileSync(controller.kubeconfig, 'utf8').replace(/server: .*/, `server: ${controller.access.server}`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}
