import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Deployment, type Lease, type Pod, resources, type Secret } from '#api/object/kinds.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { programEnvironment } from '#test/kit/program.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const program = join(import.meta.dirname, '..', '..', 'bin', 'coracle');
let server: ControllerProcess;
let kubeconfig: string;
const children: ChildProcess[] = [];

beforeAll(async () => {
  server = await startControllerProcess({ fromSource: true, flags: ['--components', 'apiserver'] });
  kubeconfig = join(server.folder, 'local.kubeconfig');
  writeFileSync(
    kubeconfig,
    readFileSync(server.kubeconfig, 'utf8').replace(/server: .*/, `server: ${server.access.server}`),
  );
});
afterAll(async () => {
  await Promise.all(children.map((child) => endOf(child)));
  await server?.stop();
});

const environment = () => ({
  ...process.env,
  ...programEnvironment,
  KUBECONFIG: kubeconfig,
  CORACLE_DATA_DIR: join(server.folder, 'data'),
});

function createToken(components: string): string {
  const line = execFileSync(program, ['token', 'create', '--controller', '--components', components], {
    encoding: 'utf8',
    env: environment(),
  });
  return /--join (\S+)/.exec(line)![1]!;
}

function startPart(name: string, components: string, token: string): ChildProcess {
  const log = openSync(join(server.folder, `${name}.log`), 'a');
  const flags = ['--components', components, '--servers', server.access.server, '--join', token];
  const child = spawn(program, ['controller', '--data-dir', join(server.folder, name), ...flags], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...programEnvironment },
  });
  closeSync(log);
  children.push(child);
  return child;
}

async function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

const holderOf = async (lease: string): Promise<string | undefined> =>
  (await server.client.resource<Lease>(resources.leases).fetch(lease, 'kube-system')).spec?.holderIdentity;

it('scheduler and controller manager work in processes of their own, with no more keys than they need', async () => {
  const schedulerToken = createToken('scheduler');
  const scheduler = startPart('scheduler', 'scheduler', schedulerToken);
  const manager = startPart('manager', 'controller-manager', createToken('controller-manager'));
  const labels = { app: 'x' };
  const template = { metadata: { labels }, spec: { containers: [{ name: 'x', image: 'x' }] } };
  await server.client.resource<Deployment>(resources.deployments).create({
    metadata: { name: 'x', namespace: 'default' },
    spec: { selector: { matchLabels: labels }, template },
  } as Parameters<ReturnType<typeof server.client.resource<Deployment>>['create']>[0]);
  const pods = server.client.resource<Pod>(resources.pods);
  // Made by the one, judged by the other: there is no node.
  await waitUntil('a pod that nothing can run', 30_000, async () => {
    const { items } = await pods.fetchList({ namespace: 'default' });
    return items[0]?.status?.conditions?.some(({ reason }) => reason === 'Unschedulable');
  });
  expect(readdirSync(join(server.folder, 'scheduler', 'pki')).sort()).toEqual([
    'ca.crt',
    'scheduler.crt',
    'scheduler.key',
  ]);
  expect(readdirSync(join(server.folder, 'manager', 'pki')).sort()).toEqual([
    'ca.crt',
    'ca.key',
    'controller-manager.crt',
    'controller-manager.key',
  ]);

  // Whoever gives up a token takes what waits for it along; who has joined needs it no more.
  const secrets = server.client.resource<Secret>(resources.secrets);
  const id = schedulerToken.slice(0, 6);
  await secrets.delete({ name: `bootstrap-token-${id}`, namespace: 'kube-system' });
  await waitUntil('the keys that waited to be gone', 30_000, async () => {
    const { items } = await secrets.fetchList({ namespace: 'kube-system' });
    return !items.some(({ metadata }) => metadata.name === `coracle-join-${id}`);
  });
  await endOf(scheduler);
  expect(await holderOf('kube-scheduler')).toBe('');
  startPart('scheduler', 'scheduler', schedulerToken);
  await waitUntil('the scheduler to lead again', 20_000, async () => (await holderOf('kube-scheduler')) !== '');
  await endOf(manager);
  expect(await holderOf('kube-controller-manager')).toBe('');
}, 240_000);
