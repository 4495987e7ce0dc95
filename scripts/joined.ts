/**
 * Waits until this host is a ready node of the cluster that it was told to join, gives it the sample's image and says so.
 * usage: joined.ts [<agent.yaml>] [<directory of the agent's identity>] [<containerd socket>]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { createFileSystem } from '#agent/host/file-system.ts';
import { type KeyPair, readKeyPair, readTerm } from '#agent/identity/key-pair-file.ts';
import { createKubeClient } from '#api/client/kube-client.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type Node, resources } from '#api/object/kinds.ts';
import { describeError } from '#base/errors.ts';
import { importSampleImage } from './sample-image.ts';
import { waitFor } from './wait-for.ts';

const [
  configPath = '/etc/coracle/agent.yaml',
  identity = '/var/lib/coracle/agent/identity',
  socket = '/run/coracle/containerd.sock',
] = process.argv.slice(2);
const [server = ''] = [
  (parse(readFileSync(configPath, 'utf8')) as { servers?: string | string[] }).servers ?? [],
].flat();

/** Most reasons not to join are in the token, and waiting does not help; the agent goes on trying all the same. */
const JOIN_TIMEOUT_MS = 30_000;

// The clock's timers do not keep a process alive.
setInterval(() => {}, 2 ** 30);

async function becomeReady({ certificatePem, privateKeyPem }: KeyPair): Promise<string> {
  const name = readTerm(certificatePem).commonName.replace(/^system:node:/, '');
  const ca = readFileSync(join(identity, 'ca.crt'), 'utf8');
  const access = { server, ca, cert: certificatePem, key: privateKeyPem, token: undefined };
  const client = createKubeClient(createKubeconfigTransport(access, 'coracle-joined'));
  return waitFor(`the node ${name} becoming ready`, async () => {
    const { status } = await client.resource<Node>(resources.nodes).fetch(name);
    return status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ? name : undefined;
  });
}

try {
  const readIdentity = () => readKeyPair(createFileSystem(), join(identity, 'node.pem'));
  const pair = await waitFor('joining the cluster', readIdentity, JOIN_TIMEOUT_MS);
  const name = await becomeReady(pair);
  await importSampleImage(socket);
  console.log(`This host is the node ${name} of ${server}, and ready`);
} catch (err) {
  console.error(`join: ${describeError(err)}`);
  process.exitCode = 1;
}
process.exit();
