/**
 * Runs inside the network of the test cluster's controller: creates pods and tells, per pod, the milliseconds from the create call to the
 * moment a watch shows it Ready. Prints one JSON line. usage: pod-client.ts <kubeconfig> <count> serial|burst
 * <prefix of their names> [keep]
 */
import { readFileSync } from 'node:fs';
import { createKubeClient } from '#api/client/kube-client.ts';
import { parseKubeconfig } from '#api/client/kubeconfig.ts';
import { createKubeconfigTransport } from '#api/client/kubeconfig-transport.ts';
import { type Pod, resources } from '#api/object/kinds.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

const [path = '', count = '1', mode = 'serial', prefix = mode, keep] = process.argv.slice(2);
const access = parseKubeconfig(readFileSync(path, 'utf8'));
const transport = createKubeconfigTransport(access, 'bench');
const pods = createKubeClient(transport).resource<Pod>(resources.pods);

const createdMs = new Map<string, number>();
const readyMs = new Map<string, number>();
const wakers = new Map<string, () => void>();

async function watchReady(resourceVersion: string, signal: AbortSignal): Promise<void> {
  for await (const { type, object } of pods.watch({ namespace: 'default', resourceVersion, signal })) {
    const { name } = object.metadata;
    const isReady = object.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
    if (type !== 'MODIFIED' || !isReady || readyMs.has(name)) continue;
    readyMs.set(name, performance.now());
    wakers.get(name)?.();
  }
}

function createPod(name: string): Promise<void> {
  const ready = new Promise<void>((resolve) => wakers.set(name, resolve));
  createdMs.set(name, performance.now());
  return pods
    .create({
      metadata: { name, namespace: 'default' },
      spec: {
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'main', image: BUSYBOX_IMAGE, command: ['sleep', 'infinity'] }],
      },
    })
    .then(() => ready);
}

const stop = new AbortController();
const { resourceVersion } = await pods.fetchList({ namespace: 'default' });
const watching = watchReady(resourceVersion, stop.signal).catch((err: unknown) => {
  if (!stop.signal.aborted) throw err;
});
const names = Array.from({ length: Number(count) }, (_, i) => `${prefix}-${i}`);
if (mode === 'burst') await Promise.all(names.map(createPod));
else for (const name of names) await createPod(name);
stop.abort();
await watching;
console.log(JSON.stringify(names.map((name) => readyMs.get(name)! - createdMs.get(name)!)));

if (keep !== 'keep') {
  await Promise.all(names.map((name) => pods.delete({ namespace: 'default', name, gracePeriodSeconds: 0 })));
  await waitUntil(
    'the pods to be gone',
    60_000,
    async () => (await pods.fetchList({ namespace: 'default' })).items.length === 0,
  );
}
process.exit();
