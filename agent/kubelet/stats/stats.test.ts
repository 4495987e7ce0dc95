import { afterEach, beforeEach, expect, test } from 'vitest';
import { KubeletRig, TEST_IMAGE } from '../testing/kubelet-rig.ts';
import { renderMetrics } from './metrics-text.ts';
import { nanoCores, parseMeminfo, parseNetDev, parseProcStat } from './node-sample.ts';

test('the files of /proc are read', () => {
  expect(parseProcStat('cpu  100 20 30 9999 500 1 2 3 7 8\ncpu0 1 1 1 1\n')).toBe(156e7);
  expect(parseMeminfo('MemTotal:       1024 kB\nHugePages_Total:       0\n').get('MemTotal')).toBe(2 ** 20);
  const net = `Inter-|   Receive                    |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    5000      10    2    0    0     0          0         0     7000      20    3    0    0     0       0          0
`;
  expect(parseNetDev(net)).toEqual([{ name: 'eth0', rxBytes: 5000, rxErrors: 2, txBytes: 7000, txErrors: 3 }]);
});

test.each([
  ['half a core over two seconds', { atMs: 1000, usageNanos: 1e9 }, { atMs: 3000, usageNanos: 2e9 }, 500_000_000],
  ['nothing after one look', undefined, { atMs: 3000, usageNanos: 2e9 }, undefined],
  ['nothing when the counter began anew', { atMs: 1000, usageNanos: 2e9 }, { atMs: 3000, usageNanos: 1e9 }, undefined],
  ['nothing between looks at one time', { atMs: 3000, usageNanos: 1e9 }, { atMs: 3000, usageNanos: 2e9 }, undefined],
])('a rate is %s', (_name, before, now, expected) => {
  expect(nanoCores(before, now)).toBe(expected);
});

test('labels are escaped', () => {
  const lines = [{ labels: { a: 'x"\\\n' }, value: 1, atMs: 12.4 }];
  expect(renderMetrics([{ name: 'm', type: 'gauge', help: 'h', lines }])).toBe(
    '# HELP m h\n# TYPE m gauge\nm{a="x\\"\\\\\\n"} 1 12\n',
  );
});

let rig: KubeletRig;
beforeEach(async () => {
  rig = new KubeletRig();
  rig.host.fs.seed('/proc/stat', 'cpu  100 0 0 0 0 0 0 0 0 0\n');
  rig.host.fs.seed('/proc/meminfo', 'MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\nMemFree: 524288 kB\n');
  await rig.start();
});
afterEach(() => rig.stop());

test('a summary shows rates since the last look, and looks twice when there was none', async () => {
  await rig.createPod();
  const { id } = rig.runtime.findContainer('app')!;
  const use = (nanos: number) => rig.runtime.usage.set(id, { cpuUsageNanoCoreSeconds: nanos });
  use(1e9);
  const asked = rig.kubelet.reports.summary(true);
  await rig.settle();
  use(1.25e9);
  await rig.advance(1000);
  expect(await asked).toMatchObject({
    node: { nodeName: 'node-1', memory: { workingSetBytes: 3 * 2 ** 30, availableBytes: 2 ** 30 } },
    pods: [
      {
        podRef: { name: 'web', namespace: 'default' },
        cpu: { usageNanoCores: 250_000_000, usageCoreNanoSeconds: 1.25e9 },
        containers: [{ name: 'app', memory: { workingSetBytes: 2 ** 20 } }],
      },
    ],
  });
  use(11.25e9);
  await rig.advance(20_000);
  expect(await rig.kubelet.reports.summary(true)).toMatchObject({ pods: [{ cpu: { usageNanoCores: 500_000_000 } }] });
});

test('a summary with disks shows volumes and logs', async () => {
  const pod = await rig.createPod({ volumes: [{ name: 'data', emptyDir: {} }] });
  const folder = `/var/lib/kubelet/pods/${pod.metadata.uid}/volumes/kubernetes.io~empty-dir/data`;
  rig.host.fs.seed(`${folder}/file`, 'x'.repeat(700));
  const asked = rig.kubelet.reports.summary(false);
  await rig.settle();
  await rig.advance(1000);
  expect(await asked).toMatchObject({
    node: { fs: { capacityBytes: 100e9, usedBytes: 40e9 } },
    pods: [{ volume: [{ name: 'data', usedBytes: 700 }] }],
  });
});

test('metrics name node, pods and probes', async () => {
  await rig.createPod({
    containers: [{ name: 'app', image: TEST_IMAGE, readinessProbe: { tcpSocket: { port: 1 } } }],
  });
  await rig.advance(0);
  const { reports } = rig.kubelet;
  expect(await reports.metrics('resource')).toContain('node_cpu_usage_seconds_total 1 ');
  expect(await reports.metrics('resource')).toContain(
    'container_memory_working_set_bytes{container="app",namespace="default",pod="web"} 1048576 ',
  );
  expect(await reports.metrics('probes')).toMatch(
    /prober_probe_total\{container="app",namespace="default",pod="web",pod_uid="[^"]+",probe_type="Readiness",result="successful"\} 1\n/,
  );
  expect(await reports.metrics('own')).toContain('kubelet_running_pods 1\n');
  expect(reports.configz()).toMatchObject({
    kubeletconfig: { evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '10%' }, maxPods: 110 },
  });
});

test('a runtime that cannot checkpoint is told with 404', async () => {
  await rig.createPod();
  const pod = { namespace: 'default', name: 'web', uid: undefined };
  await expect(rig.kubelet.reports.checkpoint(pod, 'app', 0)).rejects.toMatchObject({ statusCode: 404 });
});
