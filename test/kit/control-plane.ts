import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ControllerProcess, startControllerProcess } from './controller-process.ts';
import { type EtcdCluster, startEtcd } from './etcd.ts';
import { programEnvironment } from './program.ts';
import { startTcpRelay, type TcpRelay } from './tcp-relay.ts';

export interface ControlPlane {
  readonly etcd: EtcdCluster;
  readonly controllers: readonly ControllerProcess[];
  /** Between the last controller and each member of etcd; none unless asked for. */
  readonly relays: readonly TcpRelay[];
  stop(): Promise<void>;
}

export interface ControlPlaneOptions {
  readonly controllers: number;
  readonly members?: 1 | 3;
  readonly flags?: readonly string[];
  /** The last controller reaches etcd over a network that breaks on command. */
  readonly isLastRelayed?: boolean;
  /** Default: true; false runs the bundle where one was built. */
  readonly fromSource?: boolean;
}

const root = join(import.meta.dirname, '..', '..');

/** Several whole controllers of one cluster over a real etcd, the second and further ones joined with a token; on loopback. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const etcd = await startEtcd({ members: options.members ?? 3 });
  const controllers: ControllerProcess[] = [];
  const relays: TcpRelay[] = [];
  const stop = async () => {
    await Promise.all(controllers.map((controller) => controller.stop()));
    await Promise.all(relays.map((relay) => relay.stop()));
    await etcd.stop();
  };
  try {
    if (options.isLastRelayed)
      for (const server of etcd.servers)
        relays.push(await startTcpRelay({ host: '127.0.0.1', port: Number(new URL(server).port) }));
    const relayed = relays.map(({ port }) => `https://127.0.0.1:${port}`);
    for (let i = 0; i < options.controllers; i++) {
      const joining = i === 0 ? [] : joinFlags(controllers[0]!);
      // Each begins with another member, so that trouble of one is not trouble of all.
      const servers = options.isLastRelayed && i === options.controllers - 1 ? relayed : etcd.servers;
      const members = servers.map((_, at) => servers[(at + i) % servers.length]);
      const store = [...etcd.flags, '--etcd-servers', members.join(',')];
      const flags = [...store, ...joining, '--advertise-address', `192.0.2.${i + 1}`, ...(options.flags ?? [])];
      controllers.push(await startControllerProcess({ fromSource: options.fromSource ?? true, flags }));
    }
    return { etcd, controllers, relays, stop };
  } catch (err) {
    await stop();
    throw err;
  }
}

/** As a person would: a token made where the first controller runs. */
function joinFlags(first: ControllerProcess): string[] {
  const kubeconfig = join(first.folder, 'local.kubeconfig');
  writeFileSync(
    kubeconfig,
    readFileSync(first.kubeconfig, 'utf8').replace(/server: .*/, `server: ${first.access.server}`),
    { mode: 0o600 },
  );
  const line = execFileSync(join(root, 'bin/coracle'), ['token', 'create', '--controller'], {
    encoding: 'utf8',
    env: {
      ...process.env,
      ...programEnvironment,
      KUBECONFIG: kubeconfig,
      CORACLE_DATA_DIR: join(first.folder, 'data'),
      CORACLE_STORE: 'etcd',
    },
  });
  const token = /--join (\S+)/.exec(line)?.[1];
  if (token === undefined) throw new Error(`no token: ${line}`);
  return ['--servers', first.access.server, '--join', token];
}
