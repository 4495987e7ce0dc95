import { existsSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { AGENT_CONFIG } from '#agent/config.ts';
import {
  ConfigError,
  type ConfigOf,
  type ConfigSpec,
  findConfigPath,
  parseConfig,
  refuseArguments,
  renderConfigHelp,
} from '#base/config.ts';
import { describeError } from '#base/errors.ts';
import { hideSecretArguments } from '#base/hide-arguments.ts';
import { COMPONENT_VERSION, KUBERNETES_VERSION } from '#base/version.ts';
import { CONTROLLER_CONFIG } from '#controller/config.ts';

/** One subcommand; what it runs is loaded only when it is asked for, so that an agent never pays for the controller's code. */
interface Command {
  readonly summary: string;
  readonly usage: string;
  /** Resolves when the command has done its work; long-running ones when they were told to stop. */
  run(argv: readonly string[]): Promise<void>;
}

const CONTROLLER_FILE = '/etc/coracle/controller.yaml';
const AGENT_FILE = '/etc/coracle/agent.yaml';

const COMMANDS: Readonly<Record<string, Command>> = {
  controller: {
    summary: 'run the control plane',
    usage: `coracle controller [--config ${CONTROLLER_FILE}] [flags]\n\n${renderConfigHelp(CONTROLLER_CONFIG)}`,
    async run(argv) {
      const config = await loadConfig(CONTROLLER_CONFIG, argv, CONTROLLER_FILE);
      // Compiled code of the last start; written when the process ends. Where it cannot be written, a start takes 0.1 s longer.
      enableCompileCache(join(config.dataDir, 'compile-cache'));
      const { runController } = await import('#controller/main.ts');
      await runController(config, stopSignal());
    },
  },
  agent: {
    summary: 'run this host as a node; "coracle agent cleanup" takes back what that changed on it',
    usage: `coracle agent [--config ${AGENT_FILE}] [flags]\ncoracle agent cleanup    take back everything that the agent changed on this host\n\n${renderConfigHelp(AGENT_CONFIG)}`,
    async run(argv) {
      const cleanup = argv[0] === 'cleanup';
      const config = await loadConfig(AGENT_CONFIG, cleanup ? argv.slice(1) : argv, AGENT_FILE);
      if (cleanup) await (await import('#agent/clean-up.ts')).cleanUpAgent(config);
      else await (await import('#agent/main.ts')).runAgent(config, stopSignal());
    },
  },
  'runtime-config': {
    summary: 'write the configuration of the agent’s own containerd',
    usage: `coracle runtime-config [--config ${AGENT_FILE}] [flags of the agent]\n\nPrints the path of the file that it wrote.`,
    async run(argv) {
      const { writeRuntimeConfig } = await import('#agent/main.ts');
      console.log(await writeRuntimeConfig(await loadConfig(AGENT_CONFIG, argv, AGENT_FILE)));
    },
  },
  token: {
    summary: 'make, list and delete join tokens',
    usage: [
      'coracle token create [--ttl-hours N] [--output text|yaml]',
      'coracle token create --controller [--components apiserver,scheduler,...] [--ttl-hours N] [--output text|yaml]',
      'coracle token list',
      'coracle token delete <id>',
      '',
      'A token serves for 24 hours where nothing else is said, for as many nodes as come. "create" prints the line to run on the new host',
      '(where Coracle is not installed yet, its flags go to "scripts/up agent" of a checkout), with --output yaml its agent.yaml. Run it where',
      'the controller runs, as root.',
      '',
      'With --controller it is for another controller, which gets the keys of the cluster that its components need: whoever has such a token',
      'has those keys. Deleting the token, or its end, takes them back where nobody fetched them.',
    ].join('\n'),
    async run(argv) {
      const { runTokenCommand } = await import('#controller/token-command.ts');
      await runTokenCommand({
        argv,
        kubeconfigPath: controllerKubeconfig(),
        loadControllerConfig: () => loadConfig(CONTROLLER_CONFIG, [], CONTROLLER_FILE),
      });
    },
  },
  kubeconfig: {
    summary: 'print the administrator’s kubeconfig, or one for somebody else',
    usage: [
      'coracle kubeconfig [--servers https://a:6443,https://b:6443]',
      'coracle kubeconfig --user <name> [--groups a,b] [--ttl-hours N] [--servers ...]',
      '',
      'Prints the YAML with which a Kubernetes client acts as administrator of the cluster: whoever has it may do everything.',
      'With --user it is for that user, with a key and a certificate of their own (for a year where nothing else is said), who may do what',
      'roles give them. A certificate cannot be taken back before it expires: bind roles to groups, and keep its life short.',
      'With --servers it has a context for each of several API servers: kubectl uses the first, or the one that --context names; commands of',
      'Coracle change over by themselves. Run it where the controller runs, as root.',
    ].join('\n'),
    async run(argv) {
      const { runKubeconfigCommand } = await import('#controller/kubeconfig-command.ts');
      process.stdout.write(await runKubeconfigCommand({ argv, kubeconfigPath: controllerKubeconfig() }));
    },
  },
  ca: {
    summary: 'show the CA of the cluster, put another one in its place',
    usage: [
      'coracle ca show',
      'coracle ca rotate [--alone]',
      'coracle ca retire',
      '',
      '"rotate" makes another CA, which signs from then on and for which the present one vouches: both are trusted, nobody is turned away, and',
      'nodes get themselves other certificates. "retire" ends the trust in the CA before: kubeconfigs, tokens of hosts that join and nodes that',
      'were away since stop being good. Run it where the controller runs, as root. Of several controllers over one etcd, all but this one have to be stopped, and to join anew.',
    ].join('\n'),
    async run(argv) {
      const { runCaCommand } = await import('#controller/ca-command.ts');
      const { dataDir, store } = await loadConfig(CONTROLLER_CONFIG, [], CONTROLLER_FILE);
      console.log(await runCaCommand(argv, dataDir, store === 'etcd'));
    },
  },
  doctor: {
    summary:
      'verify the state on disk, look at the nodes, or at kernel and network of this host, without changing anything',
    usage: [
      'coracle doctor store [data directory]',
      'coracle doctor nodes',
      'coracle doctor network',
      'coracle doctor host',
      '',
      `Without a data directory: that of the controller whose configuration is ${CONTROLLER_FILE}. The controller must be stopped.`,
      'Exit codes: 0 sound; 1 damaged, the next start recovers what it can; 2 wrong usage; 3 nothing to recover from, or keys of sealed',
      'values are missing; 4 in use.',
      '',
      '"nodes" asks the running cluster, where the controller runs, as root: nodes that are not ready, whose clock is wrong, or whose identity a',
      'second host shows (a copied SD card). Exit codes: 0 nothing; 1 something, a line for each.',
      '',
      '"network" looks at the host that it runs on, as root: firewalls and settings that are in the way of pods, and what helps. Exit codes: 0',
      'nothing; 1 something.',
      '',
      '"host" tells what the kernel of this host can enforce of what pods may use. Exit codes: 0 limits of pods hold; 1 those of memory do not',
      '(Raspberry Pi OS as it is delivered), with what helps.',
    ].join('\n'),
    async run(argv) {
      if (argv.length === 1 && argv[0] === 'host') {
        const { runHostDoctor } = await import('#agent/doctor-command.ts');
        process.exitCode = await runHostDoctor();
        return;
      }
      if (argv.length === 1 && argv[0] === 'network') {
        const { runNetworkDoctor } = await import('#agent/doctor-command.ts');
        process.exitCode = await runNetworkDoctor(await loadConfig(AGENT_CONFIG, [], AGENT_FILE));
        return;
      }
      if (argv.length === 1 && argv[0] === 'nodes') {
        const { examineNodes } = await import('#controller/doctor-nodes.ts');
        process.exitCode = await examineNodes(controllerKubeconfig());
        return;
      }
      const { runDoctor } = await import('#controller/doctor-command.ts');
      const { dataDir } = await loadConfig(CONTROLLER_CONFIG, [], CONTROLLER_FILE);
      process.exitCode = await runDoctor(argv, dataDir);
    },
  },
  backup: {
    summary: 'write everything that makes the cluster into one encrypted file',
    usage: [
      'coracle backup <file> [--passphrase-file <file>] [flags of the controller]',
      '',
      'The file holds the state at one revision, the CAs, the keys of ServiceAccounts and of sealed values. A running controller goes on',
      'meanwhile; of a stopped one, its data directory is read. The passphrase comes from --passphrase-file (its first line), from',
      'CORACLE_BACKUP_PASSPHRASE, or from the terminal. Run it where the controller runs, as root.',
    ].join('\n'),
    async run(argv) {
      keepToOwner();
      const { BACKUP_FLAGS, runBackupCommand, takeFileArgument } = await import('#controller/backup/backup-command.ts');
      const { path, rest } = takeFileArgument(argv);
      await runBackupCommand(path, await loadConfig({ ...CONTROLLER_CONFIG, ...BACKUP_FLAGS }, rest, CONTROLLER_FILE));
    },
  },
  restore: {
    summary: 'make the data directory of a controller out of a backup',
    usage: [
      'coracle restore <file> [--force] [--passphrase-file <file>] [flags of the controller]',
      'coracle restore <file> --verify [--passphrase-file <file>]    reads all of it and changes nothing',
      '',
      'On any host, with any address: the CAs are kept, certificates are issued anew at the start. The controller must be stopped. Without',
      '--force a data directory with a cluster in it is refused; with it, that is set aside. Nothing is replaced before the whole file has',
      'been read and verified. Revisions rise, and watches from before are told to list anew. The passphrase: see "coracle backup --help".',
    ].join('\n'),
    async run(argv) {
      keepToOwner();
      const { RESTORE_FLAGS, runRestoreCommand, takeFileArgument } = await import(
        '#controller/backup/backup-command.ts'
      );
      const { path, rest } = takeFileArgument(argv);
      await runRestoreCommand(
        path,
        await loadConfig({ ...CONTROLLER_CONFIG, ...RESTORE_FLAGS }, rest, CONTROLLER_FILE),
      );
    },
  },
  store: {
    summary: 'move the state between SQLite and etcd, hand it over to Kubernetes, take a new sealing key',
    usage: [
      'coracle store migrate --to etcd|sqlite [flags of the controller]',
      '    brings the state into the other backend; the controllers must be stopped, what it came from is kept',
      'coracle store handover <folder> [flags of the controller]',
      '    writes what a real kube-apiserver needs to go on with this state: CAs, keys, EncryptionConfiguration, flags',
      'coracle store rotate-key [flags of the controller]',
      '    seals what is encrypted on disk under a new key (which also happens by itself, long before a key wears out)',
      '',
      `Configuration is read from ${CONTROLLER_FILE}. Run it where the controller runs, as root.`,
    ].join('\n'),
    async run(argv) {
      keepToOwner();
      const { MIGRATE_FLAGS, runStoreCommand } = await import('#controller/backup/store-command.ts');
      await runStoreCommand(argv, (flags) =>
        loadConfig({ ...CONTROLLER_CONFIG, ...MIGRATE_FLAGS }, flags, CONTROLLER_FILE),
      );
    },
  },
  version: {
    summary: 'print the version',
    usage: 'coracle version\n\nPrints the versions of Coracle, of the Kubernetes whose API it serves, and of Node.',
    async run(argv) {
      refuseArguments(argv);
      console.log(`coracle ${COMPONENT_VERSION} (Kubernetes ${KUBERNETES_VERSION}, Node ${process.versions.node})`);
    },
  },
};

/** Of files that hold keys and state; a database makes its own. */
function keepToOwner(): void {
  process.umask(0o077);
}

function controllerKubeconfig(): string {
  return process.env.KUBECONFIG ?? CONTROLLER_CONFIG.kubeconfig.default;
}

async function loadConfig<S extends ConfigSpec>(
  spec: S,
  argv: readonly string[],
  fallbackFile: string,
): Promise<ConfigOf<S>> {
  const name = findConfigPath(argv, fallbackFile);
  if (!existsSync(name)) {
    if (name !== fallbackFile) throw new ConfigError(`${name}: no such file`);
    return parseConfig(spec, { env: process.env, argv });
  }
  const { readConfigFile } = await import('./config-file.ts');
  const content = readConfigFile(name);
  return parseConfig(spec, { file: { name, content }, env: process.env, argv });
}

/** Aborted by the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(130);
      controller.abort(new Error(`stopped by ${name}`));
    });
  }
  return controller.signal;
}

function printHelp(): void {
  console.log('usage: coracle <command> [flags]\n');
  for (const [name, { summary }] of Object.entries(COMMANDS)) console.log(`  ${name.padEnd(15)} ${summary}`);
  console.log('\n"coracle <command> --help" tells more.');
}

const isHelp = (word: string): boolean => word === '--help' || word === '-h';

const [word, ...argv] = process.argv.slice(2);
hideSecretArguments();
const name = word === '--version' ? 'version' : word;
const command = name === undefined ? undefined : COMMANDS[name];
if (name === undefined || isHelp(name) || name === 'help') {
  printHelp();
} else if (command === undefined) {
  console.error(`coracle: unknown command "${name}"; see "coracle --help"`);
  process.exitCode = 2;
} else if (argv.some(isHelp)) {
  console.log(command.usage);
} else {
  // The clock's timers do not keep a process alive, so a command that only waits for one would be cut off by an empty event loop.
  setInterval(() => {}, 2 ** 30);
  try {
    await command.run(argv);
  } catch (err) {
    const mistake = err instanceof ConfigError;
    console.error(
      `coracle ${name}: ${mistake || process.env.CORACLE_STACK === undefined ? describeError(err) : (err as Error).stack}`,
    );
    process.exitCode = mistake ? 2 : 1;
  }
  // Handles that are still open (idle sockets of libraries) must not keep a finished command alive.
  process.exit();
}
