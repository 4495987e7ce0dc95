import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import type { KubeClient } from '#api/client/client.ts';
import { isAlreadyExists, isConflict, isNotFound } from '#api/object/api-error.ts';
import { type Lease, resources } from '#api/object/kinds.ts';
import { type Clock, delay, toMicroTime } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import { ensureKubernetesEndpoints, type ServerAddress } from '../resources/kubernetes-endpoints.ts';
import { ADDRESS_ANNOTATION, ServerLiveness } from './server-liveness.ts';

export interface ApiServerIdentityOptions {
  /** Acts as `system:apiserver`. */
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where clients of the cluster reach this server: an address, not a name. */
  readonly advertiseAddress: string;
  readonly port: number;
  readonly hostname: string;
  /** No other API server can share this one's store: whatever other Leases say is of earlier lives. */
  readonly isAlone: boolean;
  readonly newUid: () => string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** That this API server lives, told to the others and to whoever uses the Service `kubernetes`. */
export interface ApiServerIdentity {
  /** Once, at start. What refuses it, a webhook that is down, is told and must not keep the server from starting: `start` tries on. */
  register(): Promise<void>;
  /** Keeps it up until `leave`. */
  start(): void;
  /** Nobody is to come here any more. Where this is the only server, everything stays as it is. */
  leave(): Promise<void>;
}

const NAMESPACE = 'kube-system';
const IDENTITY_LABEL = 'apiserver.kubernetes.io/identity';
const SELECTOR = `${IDENTITY_LABEL}=kube-apiserver`;
/** Three tries before others give this server up. */
const RENEW_MS = 5_000;
const RENEW_ALONE_MS = 10_000;
/** As Kubernetes writes it; other API servers go by when they saw a renewal. */
const LEASE_SECONDS = 3600;
const LEAVE_TIMEOUT_MS = 2_000;

/** The same over restarts. Kubernetes hashes the host's name; several of ours may run on one. */
function apiServerName(address: string): string {
  const hash = createHash('sha256').update(address).digest();
  return `apiserver-${base32(hash.subarray(0, 16))}`;
}

const renderAddress = ({ ip, port }: ServerAddress): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);

/** Undefined for what somebody else wrote there. */
function parseAddress(text: string): ServerAddress | undefined {
  const match = /^\[?([0-9a-f.:]+?)\]?:(\d{1,5})$/i.exec(text);
  const ip = match?.[1] ?? '';
  return match === null || isIP(ip) === 0 ? undefined : { ip, port: Number(match[2]) };
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** RFC 4648 in small letters, without padding. */
function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => ALPHABET[Number.parseInt(five.padEnd(5, '0'), 2)]).join('');
}

/**
 * A Lease of this server's own, as Kubernetes' API servers keep one, and from the Leases of all of them the endpoints of the Service
 * `kubernetes`: a server that is gone leaves them within 20 s, one that stops does at once.
 */
export function createApiServerIdentity(options: ApiServerIdentityOptions): ApiServerIdentity {
  const { client, clock, log, advertiseAddress, port, isAlone, random } = options;
  const own = renderAddress({ ip: advertiseAddress, port });
  const name = apiServerName(own);
  const holderIdentity = `${name}_${options.newUid()}`;
  const leases = client.resource<Lease>(resources.leases);
  const liveness = new ServerLiveness();
  const ending = new AbortController();
  let running: Promise<void> = Promise.resolve();

  async function renew(signal: AbortSignal): Promise<void> {
    const spec = {
      holderIdentity,
      leaseDurationSeconds: LEASE_SECONDS,
      renewTime: toMicroTime(clock.now()),
    };
    const metadata = {
      name,
      namespace: NAMESPACE,
      labels: { [IDENTITY_LABEL]: 'kube-apiserver', 'kubernetes.io/hostname': options.hostname },
      annotations: { [ADDRESS_ANNOTATION]: own },
    };
    try {
      const current = await leases.fetch(name, NAMESPACE, signal);
      const { labels, annotations } = current.metadata;
      const merged = {
        ...current.metadata,
        labels: { ...labels, ...metadata.labels },
        annotations: { ...annotations, ...metadata.annotations },
      };
      await leases.update({ ...current, metadata: merged, spec: { ...current.spec, ...spec } }, undefined, signal);
    } catch (err) {
      if (!isNotFound(err)) throw err;
      await leases.create({ metadata, spec }, signal);
    }
  }

  async function sync(signal: AbortSignal, isLeaving = false): Promise<void> {
    if (!isLeaving) await renew(signal);
    const { items } = await leases.fetchList({ namespace: NAMESPACE, labelSelector: SELECTOR, signal });
    const others = isAlone ? [] : items.filter((lease) => lease.metadata.name !== name);
    const { live, forgotten } = liveness.observe(others, clock.monotonic());
    const addresses = isLeaving ? live : [...new Set([...live, own])];
    const servers = addresses.flatMap((address) => parseAddress(address) ?? []);
    if (servers.length > 0) await ensureKubernetesEndpoints({ client, servers, signal });
    const obsolete = isAlone ? items.map(({ metadata }) => metadata.name).filter((other) => other !== name) : forgotten;
    for (const other of obsolete) await remove(other, signal);
  }

  async function remove(other: string, signal: AbortSignal): Promise<void> {
    try {
      await leases.delete({ name: other, namespace: NAMESPACE, signal });
    } catch (err) {
      if (!isNotFound(err)) throw err;
    }
  }

  async function keep(): Promise<void> {
    while (!ending.signal.aborted) {
      try {
        await delay(clock, (isAlone ? RENEW_ALONE_MS : RENEW_MS) * (1 + random() * 0.1), ending.signal);
        await sync(ending.signal);
      } catch (err) {
        if (ending.signal.aborted) return;
        // Another server that wrote the same first is no trouble.
        const level = isConflict(err) || isAlreadyExists(err) ? 'debug' : 'warn';
        log[level]('this API server could not tell that it lives', { err: describeError(err) });
      }
    }
  }

  return {
    async register() {
      try {
        await sync(ending.signal);
      } catch (err) {
        log.warn('this API server could not tell that it lives, trying on', { err: describeError(err) });
      }
    },
    start() {
      running = keep();
    },
    async leave() {
      ending.abort(new Error('the API server is stopping'));
      await running;
      if (isAlone) return;
      const limit = AbortSignal.timeout(LEAVE_TIMEOUT_MS);
      try {
        await remove(name, limit);
        await sync(limit, true);
      } catch (err) {
        log.warn('clients may come to this API server for some seconds more', { err: describeError(err) });
      }
    },
  };
}
