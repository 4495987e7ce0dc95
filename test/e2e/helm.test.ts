import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';
import { helmPath } from '#test/kit/kubectl.ts';
import { labProblem } from '#test/kit/network-lab.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e helm skipped: ${problem}`);

const CHART: Readonly<Record<string, string>> = {
  'Chart.yaml': 'apiVersion: v2\nname: garden\nversion: 0.1.0\nappVersion: "1"\n',
  'values.yaml': 'replicas: 1\ncolour: green\n',
  'crds/plants.yaml': `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: plants.garden.example }
spec:
  group: garden.example
  scope: Namespaced
  names: { plural: plants, singular: plant, kind: Plant, shortNames: [pl] }
  versions:
    - name: v1
      served: true
      storage: true
      additionalPrinterColumns: [{ name: Colour, type: string, jsonPath: .spec.colour }]
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: { type: object, properties: { colour: { type: string, enum: [green, red] } } }
`,
  'templates/plant.yaml': `
apiVersion: garden.example/v1
kind: Plant
metadata: { name: {{ .Release.Name }} }
spec: { colour: {{ .Values.colour }} }
`,
  'templates/web.yaml': `
apiVersion: apps/v1
kind: Deployment
metadata: { name: {{ .Release.Name }} }
spec:
  replicas: {{ .Values.replicas }}
  selector: { matchLabels: { app: {{ .Release.Name }} } }
  template:
    metadata: { labels: { app: {{ .Release.Name }} } }
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: web
          image: ${BUSYBOX_IMAGE}
          command: [sh, -c, 'echo "{{ .Values.colour }}" > /tmp/index.html; exec httpd -f -p 8080 -h /tmp']
          ports: [{ containerPort: 8080 }]
          readinessProbe: { httpGet: { path: /, port: 8080 }, periodSeconds: 1 }
---
apiVersion: v1
kind: Service
metadata: { name: {{ .Release.Name }} }
spec: { selector: { app: {{ .Release.Name }} }, ports: [{ port: 80, targetPort: 8080 }] }
`,
  'templates/prepare.yaml': `
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-prepare
  annotations: { helm.sh/hook: 'pre-install,pre-upgrade', helm.sh/hook-delete-policy: before-hook-creation }
spec:
  restartPolicy: Never
  containers: [{ name: main, image: ${BUSYBOX_IMAGE}, command: [sh, -c, 'echo prepared'] }]
`,
  'templates/tests/answers.yaml': `
apiVersion: v1
kind: Pod
metadata: { name: {{ .Release.Name }}-test, annotations: { helm.sh/hook: test } }
spec:
  restartPolicy: Never
  containers:
    - name: main
      image: ${BUSYBOX_IMAGE}
      command: [sh, -c, 'wget -q -O - http://$({{ .Release.Name | upper }}_SERVICE_HOST)/ | grep {{ .Values.colour }}']
`,
};

/** A chart with a custom kind, hooks and a test, through its whole life. */
describe.skipIf(problem !== undefined)('helm', () => {
  let cluster: TestCluster;
  let chart: string;

  beforeAll(async () => {
    cluster = await startCluster({ name: 'helm', nodes: 1 });
    chart = join(cluster.folder, 'garden');
    for (const [name, text] of Object.entries(CHART)) {
      await mkdir(dirname(join(chart, name)), { recursive: true });
      await writeFile(join(chart, name), text);
    }
  });
  afterAll(() => cluster?.destroy());

  function helm(...args: string[]): Promise<string> {
    const home = join(cluster.folder, 'helm');
    const [program, ...rest] = [...cluster.lab.hub.enter, helmPath(), '--kubeconfig', cluster.kubeconfig, ...args];
    const env = { ...process.env, HELM_CACHE_HOME: home, HELM_CONFIG_HOME: home, HELM_DATA_HOME: home };
    return new Promise((resolve, reject) => {
      execFile(program!, rest, { env, timeout: 150_000 }, (err, stdout, stderr) => {
        if (err === null) resolve(stdout);
        else reject(new Error(`helm ${args.join(' ')}: ${stderr}${stdout}`));
      });
    });
  }
  const read = (what: string, path: string) => cluster.kubectlOk(['get', ...what.split(' '), '-o', `jsonpath=${path}`]);

  it('installs, with a custom kind and a hook', async () => {
    const output = await helm('install', 'oak', chart, '--wait', '--timeout', '90s');
    expect(output).toContain('STATUS: deployed');
    expect(await read('deployment oak', '{.status.readyReplicas}')).toBe('1');
    expect(await cluster.kubectlOk(['get', 'plants'])).toMatch(/NAME\s+COLOUR\noak\s+green\n/);
    expect(await cluster.kubectlOk(['logs', 'oak-prepare'])).toBe('prepared\n');
  });

  it('tests the release', async () => {
    expect(await helm('test', 'oak', '--timeout', '60s')).toMatch(/Phase:\s+Succeeded/);
  });

  it('upgrades', async () => {
    await helm('upgrade', 'oak', chart, '--set', 'replicas=2,colour=red', '--wait', '--timeout', '90s');
    expect(await read('deployment oak', '{.status.readyReplicas}')).toBe('2');
    expect(await read('plant oak', '{.spec.colour}')).toBe('red');
  });

  it('tells why an upgrade is refused, and keeps what is there', async () => {
    await expect(helm('upgrade', 'oak', chart, '--set', 'colour=blue')).rejects.toThrow(
      /spec\.colour: Unsupported value: "blue": supported values: "green", "red"/,
    );
    expect(await read('plant oak', '{.spec.colour}')).not.toBe('blue');
  });

  it('rolls back and tells the history', async () => {
    await helm('rollback', 'oak', '1', '--wait', '--timeout', '90s');
    expect(await read('plant oak', '{.spec.colour}')).toBe('green');
    expect(await read('deployment oak', '{.spec.replicas}')).toBe('1');
    const history = JSON.parse(await helm('history', 'oak', '-o', 'json')) as { status: string }[];
    expect(history.map(({ status }) => status)).toEqual(['superseded', 'superseded', 'failed', 'deployed']);
  });

  it('uninstalls', async () => {
    await helm('uninstall', 'oak', '--wait', '--timeout', '90s');
    const left = await cluster.kubectlOk(['get', 'deployments,services,plants', '-o', 'name']);
    expect(left).toBe('service/kubernetes\n');
  });
});
