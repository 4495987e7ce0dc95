import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterRoleBinding, type ConfigMap, resources } from '#api/object/kinds.ts';
import { attacksAs } from '#test/kit/abuse/attacks.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { waitUntil } from '#test/kit/wait-until.ts';

/** Others may wait twice as long as ever while somebody attacks; below this a shared machine makes more noise than the attacker. */
const FLOOR_MS = 25;
const QUIET_MS = 500;
const ATTACKED_MS = 1500;
/** Something else may hold the machine up in one round, though these files run alone; an attack that works does so in each. */
const ROUNDS = 4;
/** Handshakes on one connection; node's server takes part in three within ten minutes. */
const MAX_RENEWALS = 5;
const NO_ANSWER_MS = 2000;
/** What an attack may cost in memory while it lasts, and what of it may be kept: the collector gives back what others' requests let it see. */
const MAX_PEAK_MB = 400;
const MAX_GROWTH_MB = 150;
const PAUSE_MS = 2;

let controller: ControllerProcess;
let port = 0;
let caFile = '';
let token = '';
let bystander: Agent;

beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true });
  port = Number(new URL(controller.access.server).port);
  caFile = join(controller.folder, 'ca.crt');
  await writeFile(caFile, controller.access.ca ?? '');
  const { ca, cert, key } = controller.access;
  bystander = new Agent({ keepAlive: true, maxSockets: 1, ca, cert, key });
  token = await createReader();
  const configMaps = controller.client.resource<ConfigMap>(resources.configMaps);
  const data = { text: 'x'.repeat(20_000) };
  await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      configMaps.create({ metadata: { name: `large-${i}`, namespace: 'default' }, data }),
    ),
  );
  await waitsFor(QUIET_MS);
});
afterAll(async () => {
  bystander?.destroy();
  await controller?.stop();
});

/** Answers the token of a ServiceAccount that may read what a user may. */
async function createReader(): Promise<string> {
  const { client } = controller;
  const metadata = { name: 'mallory', namespace: 'default' };
  await client.resource(resources.serviceAccounts).create({ metadata });
  await client.resource<ClusterRoleBinding>(resources.clusterRoleBindings).create({
    metadata: { name: 'mallory' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'edit' },
    subjects: [{ kind: 'ServiceAccount', ...metadata }],
  });
  const answer = await ask('POST', '/api/v1/namespaces/default/serviceaccounts/mallory/token', '{}');
  return (JSON.parse(answer) as { status: { token: string } }).status.token;
}

function ask(method: string, path: string, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' };
    const sent = request({ agent: bystander, host: '127.0.0.1', port, method, path, headers }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => (text += chunk));
      answer.on('end', () => ((answer.statusCode ?? 0) < 300 ? resolve(text) : reject(new Error(text))));
    });
    sent.once('error', reject);
    sent.end(body);
  });
}

/** Milliseconds below which 99 of 100 requests of a bystander stay. */
async function waitsFor(durationMs: number): Promise<number> {
  const waits: number[] = [];
  const endMs = performance.now() + durationMs;
  while (performance.now() < endMs) {
    const startMs = performance.now();
    await ask('GET', '/api/v1/namespaces/default');
    waits.push(performance.now() - startMs);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  waits.sort((a, b) => a - b);
  return waits[Math.floor(waits.length * 0.99)] ?? Number.POSITIVE_INFINITY;
}

const residentMb = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${controller.pid}/status`, 'utf8'))?.[1]) >> 10;

/** Runs `during` beside the attack, which gets only what the others leave of the processor: it would have a machine of its own. */
async function underAttack<T>(name: string, during: () => Promise<T>): Promise<T> {
  const program = join(import.meta.dirname, '../kit/abuse/attacker.ts');
  const attacker = spawn('nice', ['-n', '19', process.execPath, program, name, String(port), caFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TOKEN: token },
  });
  let said = '';
  attacker.stdout.on('data', (chunk) => (said += chunk));
  const gone = new Promise<void>((resolve) => attacker.once('exit', () => resolve()));
  try {
    await waitUntil(`the attack ${name}`, 10_000, () => said.includes('attacking'));
    return await during();
  } finally {
    attacker.kill('SIGTERM');
    await gone;
  }
}

describe('others are served while somebody comes with', () => {
  test.each(Object.keys(attacksAs('')))('%s', async (name) => {
    const beforeMb = residentMb();
    const rounds: { quietMs: number; attackedMs: number }[] = [];
    const isHarmless = () => rounds.some(({ quietMs, attackedMs }) => attackedMs <= Math.max(2 * quietMs, FLOOR_MS));
    while (rounds.length < ROUNDS && !isHarmless()) {
      const quietMs = await waitsFor(QUIET_MS);
      rounds.push({ quietMs, attackedMs: await underAttack(name, () => waitsFor(ATTACKED_MS)) });
    }
    expect(isHarmless(), JSON.stringify(rounds)).toBe(true);
    expect(residentMb() - beforeMb).toBeLessThan(MAX_PEAK_MB);
    const kept = async () => {
      await waitsFor(QUIET_MS);
      return residentMb() - beforeMb;
    };
    await expect.poll(kept).toBeLessThan(MAX_GROWTH_MB);
  });
});

/** What the server says to these bytes on a connection of their own, until it hangs up. */
function say(text: string, options: tls.ConnectionOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const { ca } = controller.access;
    const socket = tls.connect({ host: '127.0.0.1', port, ca, ALPNProtocols: ['http/1.1'], ...options });
    let answer = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => (answer += chunk));
    socket.once('error', reject);
    socket.once('close', () => resolve(answer));
    socket.once('secureConnect', () => socket.write(text));
  });
}

const answersIn = (text: string) => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => Number(match[1]));

describe('nobody smuggles a request in another, by', () => {
  const HIDDEN = 'GET /version HTTP/1.1\r\nHost: x\r\n\r\n';
  const post = (fields: string, body: string) =>
    `POST /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields}\r\n\r\n${body}`;
  test.each([
    ['two lengths', post(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}`, HIDDEN)],
    ['a length and chunks', post(`Content-Length: 5\r\nTransfer-Encoding: chunked`, `0\r\n\r\n${HIDDEN}`)],
    ['chunks that are called so twice', post('Transfer-Encoding: chunked, identity', `0\r\n\r\n${HIDDEN}`)],
    ['a coding nobody knows', post('Transfer-Encoding: xchunked', `0\r\n\r\n${HIDDEN}`)],
    ['a space before the colon', post('Content-Length : 5', `hello${HIDDEN}`)],
    ['a folded line', post(`X-A: b\r\n Content-Length: 5`, `hello${HIDDEN}`)],
    ['a length that is no number', post('Content-Length: +5', `hello${HIDDEN}`)],
    ['lines that end in a line feed alone', `POST /version HTTP/1.1\nHost: x\nContent-Length: 5\n\nhello${HIDDEN}`],
    ['a carriage return in a value', post(`X-A: b\rTransfer-Encoding: chunked`, `0\r\n\r\n${HIDDEN}`)],
  ])('%s', async (_, text) => {
    expect(answersIn(await say(text))).toEqual([400]);
  });

  test('nothing: the same without tricks is one request and its answer', async () => {
    expect(answersIn(await say('GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'))).toEqual([200]);
  });
});

describe('TLS is not talked down', () => {
  const VERSION = 'GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
  // Level 0, so that it is the server who refuses.
  const weak = (options: tls.ConnectionOptions) => say(VERSION, { ciphers: 'ALL:@SECLEVEL=0', ...options });

  test.each(['TLSv1', 'TLSv1.1'] as const)('to %s', async (version) => {
    await expect(weak({ minVersion: version, maxVersion: version })).rejects.toThrow(/alert/);
  });

  test.each(['aNULL', 'kRSA'])('to ciphers without what they lack: %s', async (ciphers) => {
    await expect(weak({ ciphers: `${ciphers}:@SECLEVEL=0`, maxVersion: 'TLSv1.2' })).rejects.toThrow(/alert/);
  });

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('while %s is spoken', async (version) => {
    expect(answersIn(await say(VERSION, { minVersion: version, maxVersion: version }))).toEqual([200]);
  });

  test('by negotiating it again and again', async () => {
    const { ca } = controller.access;
    const socket = tls.connect({ host: '127.0.0.1', port, ca, maxVersion: 'TLSv1.2' });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    let renewals = 0;
    await new Promise<void>((resolve) => {
      socket.once('error', () => resolve());
      socket.once('close', () => resolve());
      // A server that does not take part in it says nothing at all.
      setTimeout(resolve, NO_ANSWER_MS);
      const again = () =>
        socket.renegotiate({}, (err) => {
          if (err !== null || ++renewals === MAX_RENEWALS) resolve();
          else again();
        });
      again();
    });
    expect(renewals).toBeLessThan(MAX_RENEWALS);
    socket.destroy();
  });
});
