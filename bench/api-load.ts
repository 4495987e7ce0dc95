import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type ConfigMap, type Role, type RoleBinding, resources, type ServiceAccount } from '#api/object/kinds.ts';
import { startBareServer } from '#test/kit/bare-server.ts';
import { type ControllerProcess, memoryOf } from '#test/kit/controller-process.ts';
import { cpuOfThreads } from '#test/kit/process-cpu.ts';
import { waitUntil } from '#test/kit/wait-until.ts';
import { type LoopDelay, loopDelayDuring, startMeasuredController } from './loop-delay.ts';
import { quantile, type Result } from './result.ts';

/** What a Kubernetes 1.36 API server with etcd reached on the same kind of machine with the same client (DESIGN, numbers to reach). */
const KUBERNETES = { get: 2_270, create: 980, list: 10.7 };
const LISTED = 7_800;
const OTHERS = 2_200;
const OBJECTS = LISTED + OTHERS;
/** Makes the list weigh 10.8 MB. */
const LISTED_BYTES = 1_000;
const NAMESPACE = 'bench';
const OTHER_NAMESPACE = 'bench-others';
const CONNECTIONS = 16;
const SERVER_CORE = 0;
const SECONDS = 10;
/** A change of one of the listed objects this often, so that hardly a list is answered from the last one's bytes. */
const CHANGE_EVERY_MS = 20;
/** Starts differ by a third on a machine that does something else as well: the middle one counts. */
const STARTS = 5;

/** GET, CREATE and LIST over TLS with a ServiceAccount token, RBAC and audit on, 10,000 objects in the store, a core each for server and client. */
export async function measureApi(): Promise<Result[]> {
  const folder = await mkdtemp(join(tmpdir(), 'coracle-bench-'));
  const controller = await startMeasuredController({ port: 16_443, core: SERVER_CORE, folder });
  try {
    const token = await prepare(controller);
    const idle = memoryOf(controller.pid);
    const starts = await startsOf(controller);
    const get = await load(controller, token, GET_SCRIPT);
    const list = await load(controller, token, LIST_SCRIPT);
    const changing = await loopDelayDuring({ controller, folder }, () => listWhileChanging(controller, token));
    const create = await load(controller, token, CREATE_SCRIPT);
    const bare = await loadBare(controller);
    const busy = memoryOf(controller.pid);
    await controller.restart();
    const made = OBJECTS + create.requests;
    return [
      ...loadResults({ get, list, create }, bare),
      ...changingResults(changing.result, changing.delay),
      {
        name: `controller: start to first answer, ${OBJECTS} objects`,
        value: quantile(starts, 0.5),
        unit: 'ms',
        goal: { value: 500, better: 'lower' },
        note: `${starts.map((ms) => ms.toFixed(0)).join(', ')} ms, with as many events of history; with ${made}: ${controller.readyMs.toFixed(0)} ms`,
      },
      {
        name: 'controller: resident memory with 10,000 objects',
        value: idle.rssMb,
        unit: 'MB',
        note: `anonymous ${idle.anonymousMb.toFixed(0)} MB`,
      },
      {
        name: 'controller: resident memory after the load',
        value: busy.rssMb,
        unit: 'MB',
        note: `anonymous ${busy.anonymousMb.toFixed(0)} MB`,
      },
    ];
  } finally {
    await controller.stop();
    await rm(folder, { recursive: true });
  }
}

/** Milliseconds from process start to the first answer, of several starts. */
async function startsOf(controller: ControllerProcess): Promise<readonly number[]> {
  const starts: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    await controller.restart();
    starts.push(controller.readyMs);
  }
  return starts;
}

/** The same requests to a server that has nothing behind it, on the same core. */
async function loadBare(controller: ControllerProcess): Promise<Readonly<Record<'get' | 'create', Load>>> {
  const { url, pid, stop } = await startBareServer(controller, SERVER_CORE);
  const server = { pid, folder: controller.folder, access: { server: url } };
  try {
    return { get: await load(server, '', GET_SCRIPT), create: await load(server, '', CREATE_SCRIPT) };
  } finally {
    await stop();
  }
}

function loadResults(
  { get, list, create }: Readonly<Record<'get' | 'list' | 'create', Load>>,
  bare: Readonly<Record<'get' | 'create', Load>>,
): Result[] {
  return [
    {
      name: `GET one of ${OBJECTS} objects, ${CONNECTIONS} connections`,
      value: get.rate,
      unit: 'req/s',
      goal: { value: 6 * KUBERNETES.get, better: 'higher' },
      floor: bare.get.rate,
      note: beside(get, bare.get),
    },
    {
      name: `LIST ${LISTED} ConfigMaps`,
      value: list.rate,
      unit: 'req/s',
      goal: { value: 6 * KUBERNETES.list, better: 'higher' },
      note: list.note,
    },
    {
      name: 'CREATE a 512-byte ConfigMap, durable',
      value: create.rate,
      unit: 'req/s',
      goal: { value: 4 * KUBERNETES.create, better: 'higher' },
      floor: bare.create.rate,
      note: beside(create, bare.create),
    },
  ];
}

const beside = (own: Load, bare: Load): string =>
  `${own.note}: ${(own.cpuUs / bare.cpuUs).toFixed(1)} x the ${bare.cpuUs.toFixed(0)} us of node's server alone`;

function changingResults(list: Load, delay: LoopDelay): Result[] {
  return [
    {
      name: `LIST ${LISTED} ConfigMaps while they change`,
      value: list.rate,
      unit: 'req/s',
      note: list.note,
    },
    {
      name: 'delay of the event loop meanwhile, p99',
      value: delay.p99Ms,
      unit: 'ms',
      goal: { value: 20, better: 'lower' },
      note: `longest ${delay.longestMs.toFixed(1)} ms`,
    },
  ];
}

async function listWhileChanging(controller: ControllerProcess, token: string): Promise<Load> {
  const configMaps = controller.client.resource<ConfigMap>(resources.configMaps);
  let isOver = false;
  const change = async () => {
    for (let i = 0; !isOver; i = (i + 1) % LISTED) {
      await configMaps.patch({
        name: `item-${i}`,
        namespace: NAMESPACE,
        type: 'merge',
        patch: { metadata: { annotations: { changed: String(Date.now()) } } },
      });
      await new Promise((resolve) => setTimeout(resolve, CHANGE_EVERY_MS));
    }
  };
  const changing = change();
  try {
    return await load(controller, token, LIST_SCRIPT);
  } finally {
    isOver = true;
    await changing;
  }
}

async function prepare({ client }: ControllerProcess): Promise<string> {
  for (const name of [NAMESPACE, OTHER_NAMESPACE])
    await client.resource(resources.namespaces).create({ metadata: { name } });
  const configMaps = client.resource<ConfigMap>(resources.configMaps);
  const drafts = [
    ...Array.from({ length: LISTED }, (_, i) => ({
      metadata: { name: `item-${i}`, namespace: NAMESPACE },
      data: { value: 'x'.repeat(LISTED_BYTES) },
    })),
    ...Array.from({ length: OTHERS }, (_, i) => ({
      metadata: { name: `item-${i}`, namespace: OTHER_NAMESPACE },
      data: { value: 'x'.repeat(512) },
    })),
  ];
  for (let i = 0; i < drafts.length; i += 50)
    await Promise.all(drafts.slice(i, i + 50).map((draft) => configMaps.create(draft)));
  for (const namespace of [NAMESPACE, OTHER_NAMESPACE]) {
    await client.resource<Role>(resources.roles).create({
      metadata: { name: 'bench', namespace },
      rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'create'] }],
    });
    await client.resource<RoleBinding>(resources.roleBindings).create({
      metadata: { name: 'bench', namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'bench' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: NAMESPACE }],
    });
  }
  await waitUntil('the default ServiceAccount', 20_000, async () =>
    client.resource<ServiceAccount>(resources.serviceAccounts).fetch('default', NAMESPACE),
  );
  const answer = await client
    .resource<ServiceAccount>(resources.serviceAccounts)
    .post<{ status: { token: string } }>('default', NAMESPACE, 'token', {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { expirationSeconds: 3600 },
    });
  return answer.status.token;
}

const GET_SCRIPT = `
request = function()
  local i = math.random(0, ${OBJECTS - 1})
  if i < ${LISTED} then return wrk.format("GET", "/api/v1/namespaces/${NAMESPACE}/configmaps/item-" .. i) end
  return wrk.format("GET", "/api/v1/namespaces/${OTHER_NAMESPACE}/configmaps/item-" .. (i - ${LISTED}))
end`;

const LIST_SCRIPT = `
request = function() return wrk.format("GET", "/api/v1/namespaces/${NAMESPACE}/configmaps") end`;

const CREATE_SCRIPT = `
local n = 0
local run = tostring(os.time())
local filler = string.rep("y", 380)
request = function()
  n = n + 1
  local body = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"made-' .. run .. '-' .. n .. '"},"data":{"value":"' .. filler .. '"}}'
  return wrk.format("POST", "/api/v1/namespaces/${OTHER_NAMESPACE}/configmaps", nil, body)
end`;

interface Load {
  readonly requests: number;
  readonly rate: number;
  /** Of the server, for each request. */
  readonly cpuUs: number;
  readonly note: string;
}

/** The server under load, and where the load's script may lie. */
interface Loaded {
  readonly pid: number;
  readonly folder: string;
  readonly access: { readonly server: string };
}

async function load(controller: Loaded, token: string, script: string): Promise<Load> {
  const path = join(controller.folder, 'load.lua');
  const report = `
done = function(summary, latency)
  io.write(string.format("RESULT %d %d %d %d %.3f %.3f\\n", summary.requests, summary.duration, summary.errors.status, summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
wrk.headers["Authorization"] = "Bearer ${token}"
wrk.headers["Content-Type"] = "application/json"
${script}`;
  await writeFile(path, report, { mode: 0o600 });
  const before = cpuOfThreads(controller.pid);
  const { stdout } = await promisify(execFile)('taskset', [
    '-c',
    '1',
    'wrk',
    '-t',
    '1',
    '-c',
    String(CONNECTIONS),
    '-d',
    `${SECONDS}s`,
    '--timeout',
    '10s',
    '-s',
    path,
    controller.access.server,
  ]);
  const match = /RESULT (\d+) (\d+) (\d+) (\d+) ([\d.]+) ([\d.]+)/.exec(stdout);
  if (match === null) throw new Error(`wrk printed no result: ${stdout}`);
  const [requests, microseconds, refused, broken, p50, p99] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (refused + broken > 0) throw new Error(`${refused} requests were refused and ${broken} broke off: ${stdout}`);
  const cpu = cpuBetween(before, cpuOfThreads(controller.pid), requests);
  return {
    requests,
    rate: requests / (microseconds / 1e6),
    cpuUs: cpu.totalUs,
    note: `p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, ${cpu.note}`,
  };
}

function cpuBetween(before: Map<string, number>, after: Map<string, number>, requests: number) {
  const each = [...after].map(([name, us]) => ({ name, us: (us - (before.get(name) ?? 0)) / requests }));
  const totalUs = each.reduce((sum, { us }) => sum + us, 0);
  const parts = each.filter(({ us }) => us >= 1).map(({ name, us }) => `${name} ${us.toFixed(0)}`);
  return { totalUs, note: `CPU ${totalUs.toFixed(0)} us each (${parts.join(', ')})` };
}
