import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { generateKey, renderSigningRequest } from '#api/client/signing-request.ts';
import type { RecordedDecision } from '#controller/apiserver/authorize/recording-authorizer.ts';
import { runCaCommand } from '#controller/ca-command.ts';
import { controllerUser, controllerUsers } from '#controller/controllers/start-controllers.ts';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { cisChecks, runCisCheck } from '#test/kit/cis-benchmark.ts';
import { startCluster, type TestCluster } from '#test/kit/cluster.ts';
import { type KubectlResult, runKubectl } from '#test/kit/kubectl.ts';
import { labProblem } from '#test/kit/network-lab.ts';
import { compareRights, readDecisions } from '#test/kit/role-usage.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { exerciseCluster } from './exercise-cluster.ts';
import { UNUSED_RIGHTS } from './unused-rights.ts';

const problem = labProblem();
if (problem !== undefined) console.warn(`e2e roles skipped: ${problem}`);

/** Everyone who acts for the system rather than for a person or a pod. */
const COMPONENT =
  /^(?:system:kube-scheduler|system:kube-controller-manager|system:node:.+|system:bootstrap:.+|system:serviceaccount:kube-system:.+|coracle:netd:.+)$/;

describe.skipIf(problem !== undefined)('the identity of every component', () => {
  let cluster: TestCluster;
  let folder: string;
  let decisions: readonly RecordedDecision[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'coracle-roles-log-'));
    const logFile = join(folder, 'decisions');
    cluster = await startCluster({
      name: 'roles',
      nodes: 2,
      controllerFlags: ['--authorization-log', logFile, '--node-monitor-grace-seconds', '14'],
    });
    await exerciseCluster(cluster);
    decisions = (await decisionsSoFar(logFile)).filter(({ user }) => COMPONENT.test(user));
  });
  afterAll(async () => {
    await cluster?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  /** The log is written in batches, in order: once it shows a request made now, it shows all before. */
  async function decisionsSoFar(logFile: string): Promise<readonly RecordedDecision[]> {
    await cluster.kubectl(['get', '--raw', '/all-until-here']);
    return waitUntil('the log', 10_000, async () => {
      const read = await readDecisions(logFile);
      return read.some(({ path }) => path === '/all-until-here') && read;
    });
  }

  it('is used: each of them made requests', () => {
    const users = new Set(decisions.map(({ user }) => user));
    const expected = [
      ...controllerUsers(undefined),
      controllerUser('clusterrole-aggregation-controller'),
      'system:kube-scheduler',
      ...cluster.agents.flatMap(({ nodeName }) => [`system:node:${nodeName}`, `coracle:netd:${nodeName}`]),
    ];
    expect(expected.filter((user) => !users.has(user))).toEqual([]);
  });

  it('has the rights that it needs: nothing was refused', () => {
    expect(decisions.filter(({ decision }) => decision !== 'allow')).toEqual([]);
  });

  it('has no right that it does not need, but for the listed ones', () => {
    expect(compareRights(decisions, UNUSED_RIGHTS)).toEqual([]);
  });

  it.each(cisChecks('Nodes').map((check) => [check.id, check.what, check] as const))(
    'keeps the CIS benchmark on its node: %s %s',
    async (_, __, check) => {
      // Its listener is on every address of the node.
      const place = { variables: { NODE: '127.0.0.1' }, enter: cluster.agents[0]!.host.enter };
      expect(await runCisCheck(check, place)).toMatch(check.expected);
    },
  );

  describe('of an agent', () => {
    const FORBIDDEN = /forbidden/i;
    let podUid: readonly string[];
    const asPart = new Map<string, string>();

    beforeAll(async () => {
      const identity = join(cluster.agents[0]!.folder, 'data', 'identity');
      const caPem = await readFile(join(identity, 'ca.crt'), 'utf8');
      for (const part of ['node', 'netd']) {
        // Key and certificate stand in one file; readers of either skip the other.
        const pem = await readFile(join(identity, `${part}.pem`), 'utf8');
        const path = join(folder, `${part}.kubeconfig`);
        const servers = ['https://198.51.100.1:6443'];
        await writeFile(path, renderKubeconfig({ servers, caPem, certificatePem: pem, privateKeyPem: pem }), {
          mode: 0o600,
        });
        asPart.set(part, path);
      }
      podUid = await Promise.all(
        [0, 1].map((index) => cluster.kubectlOk(['get', 'pod', `reader-${index}`, '-o', 'jsonpath={.metadata.uid}'])),
      );
    });

    const run = (part: string, command: string, stdin?: string): Promise<KubectlResult> =>
      runKubectl(command.split(' '), {
        kubeconfig: asPart.get(part)!,
        enter: cluster.agents[0]!.host.enter,
        ...(stdin === undefined ? {} : { stdin }),
      });
    const boundTo = (index: number) =>
      `--bound-object-kind Pod --bound-object-name reader-${index} --bound-object-uid ${podUid[index]}`;

    it.each([
      'get secret reader-0',
      'get configmap reader-0',
      'get pod reader-0',
      'get pods -A --field-selector spec.nodeName=node-0',
      'get node node-0',
      'get lease node-0 -n kube-node-lease',
      'annotate node node-0 note=mine --overwrite',
    ])('may, of its own node: %s', async (command) => {
      const { code, stderr } = await run('node', command);
      expect(stderr).toBe('');
      expect(code).toBe(0);
    });

    it.each([
      'get secret reader-1',
      'get configmap reader-1',
      'get pod reader-1',
      'get secrets',
      'get secrets -A',
      'get configmaps -n kube-system',
      'get pods -A',
      'get pods -A --field-selector spec.nodeName=node-1',
      'get nodes',
      'get node node-1',
      'get lease node-1 -n kube-node-lease',
      'delete --raw /api/v1/namespaces/default/pods/reader-1',
      'exec reader-0 -- true',
      'label node node-0 node-restriction.kubernetes.io/tier=1',
      'taint node node-0 mine=1:NoSchedule',
      'create clusterrolebinding mine --clusterrole=cluster-admin --user=system:node:node-0',
      'create token reader-0',
      'create token reader-1',
    ])('may not: %s', async (command) => {
      const { code, stderr } = await run('node', command);
      expect(stderr).toMatch(FORBIDDEN);
      expect(code).not.toBe(0);
    });

    it('may not write another Node or its status', async () => {
      const node = await cluster.kubectlOk(['get', 'node', 'node-1', '-o', 'json']);
      for (const path of ['/api/v1/nodes/node-1', '/api/v1/nodes/node-1/status'])
        expect((await run('node', `replace --raw ${path} -f -`, node)).stderr, path).toMatch(FORBIDDEN);
    });

    it('may not report the status of another node’s pod', async () => {
      const pod = await cluster.kubectlOk(['get', 'pod', 'reader-1', '-o', 'json']);
      const path = '/api/v1/namespaces/default/pods/reader-1/status';
      expect((await run('node', `replace --raw ${path} -f -`, pod)).stderr).toMatch(FORBIDDEN);
    });

    it('mints tokens for its own pods alone', async () => {
      expect((await run('node', `create token reader-0 ${boundTo(0)}`)).stdout).toMatch(/^ey/);
      expect((await run('node', `create token reader-1 ${boundTo(1)}`)).stderr).toMatch(FORBIDDEN);
      expect((await run('node', `create token reader-0 ${boundTo(1)}`)).stderr).toMatch(FORBIDDEN);
      expect((await run('node', `create token reader-1 ${boundTo(0)}`)).stderr).toMatch(FORBIDDEN);
    });

    it('gets no certificate for foreign names, and approves none', async () => {
      const { privateKey } = await generateKey();
      const ask = async (name: string, dnsNames: readonly string[]) => {
        const subject = { commonName: 'system:node:node-0', organizations: ['system:nodes'] };
        const pem = await renderSigningRequest(privateKey, { ...subject, dnsNames });
        const signerName = 'kubernetes.io/kubelet-serving';
        const usages = ['digital signature', 'server auth'];
        const spec = { signerName, usages, request: Buffer.from(pem).toString('base64') };
        const request = {
          apiVersion: 'certificates.k8s.io/v1',
          kind: 'CertificateSigningRequest',
          metadata: { name },
          spec,
        };
        expect(await run('node', 'create -f -', JSON.stringify(request))).toMatchObject({ code: 0 });
      };
      const foreign = ['node-1', 'kubernetes.default.svc', 'bank.example.com'];
      for (const [index, name] of foreign.entries()) await ask(`foreign-${index}`, ['node-0', name]);
      for (const index of foreign.keys())
        expect((await run('node', `certificate approve foreign-${index}`)).stderr).toMatch(FORBIDDEN);
      // Asked for later, and granted: by then the others have been looked at.
      await ask('own', ['node-0']);
      const certificateOf = (name: string) => cluster.kubectlOk(['get', 'csr', name, '-o', 'jsonpath={.status}']);
      await waitUntil('its own', 30_000, async () => (await certificateOf('own')).includes('certificate'));
      for (const index of foreign.keys()) expect(await certificateOf(`foreign-${index}`)).toBe('{}');
    });

    it('sees as the proxy Services and nodes, and nothing of any pod', async () => {
      expect((await run('netd', 'get --raw /api/v1/services?watch=true&timeoutSeconds=1')).stderr).toBe('');
      for (const what of ['secrets', 'configmaps', 'pods', 'secret reader-0', 'pod reader-0', 'serviceaccounts'])
        expect((await run('netd', `get ${what}`)).stderr, what).toMatch(FORBIDDEN);
    });
  });

  describe('at the door of a node', () => {
    const METRICS_ONLY = [
      'create serviceaccount scraper',
      'create clusterrole scraper --verb=get --resource=nodes/metrics',
      'create clusterrolebinding scraper --clusterrole=scraper --serviceaccount=default:scraper',
      'create serviceaccount nobody',
    ];
    /** Words of curl by who comes. */
    const who = new Map<string, readonly string[]>();

    beforeAll(async () => {
      for (const command of METRICS_ONLY) await cluster.kubectlOk(command.split(' '));
      for (const account of ['scraper', 'nobody']) {
        const token = (await cluster.kubectlOk(['create', 'token', account])).trim();
        who.set(account, ['-H', `Authorization: Bearer ${token}`]);
      }
      const elsewhere = (await cluster.kubectlOk(['create', 'token', 'scraper', '--audience=vault'])).trim();
      who.set('scraper, for another audience', ['-H', `Authorization: Bearer ${elsewhere}`]);
      who.set('a stranger', []);
      const pki = join(cluster.folder, 'controller', 'pki');
      const pair = (name: string) => ['--cert', join(pki, `${name}.crt`), '--key', join(pki, `${name}.key`)];
      who.set('the API server', pair('apiserver-kubelet-client'));
      who.set('the administrator', pair('admin'));
      who.set('one whom another CA vouches for', pair('front-proxy-client'));
      const identity = join(cluster.agents[1]!.folder, 'data', 'identity');
      for (const part of ['node', 'netd'])
        who.set(`${part} of another node`, ['--cert', join(identity, `${part}.pem`)]);
    });

    /** Status codes: metrics, pods, a command in a container. */
    const knock = async (caller: string): Promise<readonly string[]> => {
      const reader = '/run/default/reader-0/main?cmd=true';
      const requests = [['/metrics'], ['/pods'], [reader, '-X', 'POST']];
      return Promise.all(
        requests.map(async ([path, ...words]) => {
          const url = `https://127.0.0.1:10250${path}`;
          const argv = ['curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', ...words, ...who.get(caller)!, url];
          const [program = '', ...args] = [...cluster.agents[0]!.host.enter, ...argv];
          return (await promisify(execFile)(program, args)).stdout;
        }),
      );
    };

    it.each([
      ['a stranger', ['401', '401', '401']],
      ['one whom another CA vouches for', ['401', '401', '401']],
      ['scraper, for another audience', ['401', '401', '401']],
      ['nobody', ['403', '403', '403']],
      ['node of another node', ['403', '403', '403']],
      ['netd of another node', ['403', '403', '403']],
      // As its role says, and no more.
      ['scraper', ['200', '403', '403']],
      ['the API server', ['200', '200', expect.stringMatching(/^(200|404)$/)]],
      ['the administrator', ['200', '200', expect.stringMatching(/^(200|404)$/)]],
    ])('%s', async (caller, expected) => {
      expect(await knock(caller)).toEqual(expected);
    });
  });

  it('stays the same through a rotation of the CA: the node takes the other one, and comes by itself once the old one is gone', async () => {
    const dataDir = join(cluster.folder, 'controller');
    const identity = join(cluster.agents[0]!.folder, 'data', 'identity');
    const signerOf = async (part: string) => new X509Certificate(await readFile(join(identity, `${part}.pem`))).issuer;
    const parts = ['node', 'netd', 'serving'];
    const before = await Promise.all(parts.map(signerOf));
    await runCaCommand(['rotate'], dataDir);
    await waitUntil('the other certificates', 120_000, async () => {
      const now = await Promise.all(parts.map(signerOf));
      return now.every((issuer, i) => issuer !== before[i]);
    });
    await runCaCommand(['retire'], dataDir);
    await waitUntil('the end of the old CA', 90_000, async () => {
      const bundle = await readFile(join(identity, 'ca.crt'), 'utf8');
      return bundle.split('BEGIN CERTIFICATE').length === 2;
    });
    await cluster.kubectlOk(['exec', 'reader-0', '--', 'true']);
    await cluster.kubectlOk(['wait', 'node/node-0', '--for=condition=Ready', '--timeout=150s']);
  }, 300_000);
});
