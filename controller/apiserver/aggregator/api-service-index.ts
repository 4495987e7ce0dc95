import type { Store } from '../../store/store.ts';
import { mirrorPrefix, namesOfKey } from '../authorize/store-mirror.ts';

/** What matters of apiregistration.k8s.io/v1 APIService here. */
export interface ApiService {
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly group?: string;
    readonly version?: string;
    /** Absent: this server answers itself. */
    readonly service?: { readonly namespace?: string; readonly name?: string; readonly port?: number };
    readonly groupPriorityMinimum?: number;
    readonly versionPriority?: number;
    /** PEM, in base64. */
    readonly caBundle?: string;
    readonly insecureSkipTLSVerify?: boolean;
  };
  readonly status?: { readonly conditions?: readonly ApiServiceCondition[] };
}

export interface ApiServiceCondition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly lastTransitionTime?: string;
}

/** A group and version that another server answers behind this one. */
export interface RemoteApi {
  /** Of its APIService: `<version>.<group>`. */
  readonly name: string;
  readonly group: string;
  readonly version: string;
  readonly groupPriority: number;
  readonly versionPriority: number;
  readonly service: { readonly namespace: string; readonly name: string; readonly port: number };
  readonly caBundle: string | undefined;
  readonly insecureSkipTlsVerify: boolean;
  readonly isAvailable: boolean;
}

export const API_SERVICES_PREFIX = '/registry/apiregistration.k8s.io/apiservices/';
const DEFAULT_PORT = 443;

export interface IndexListener {
  /** An APIService came, changed in spec or status, or went (`undefined`). */
  onChange(name: string, remote: RemoteApi | undefined): void;
}

/** All APIServices of the store, those that lead to another server by group and version. */
export class ApiServiceIndex {
  readonly #remotes = new Map<string, RemoteApi>();
  readonly #byGroupVersion = new Map<string, RemoteApi>();
  readonly #listeners = new Set<IndexListener>();
  /** Grows with every change of an APIService, local ones included. */
  revision = 0;
  readonly stop: () => void;

  constructor(store: Store) {
    this.stop = mirrorPrefix(store, API_SERVICES_PREFIX, {
      onPut: (stored) => this.#put(remoteApiOf(stored.object() as ApiService), stored.key),
      onDelete: ({ key }) => this.#put(undefined, key),
      onReset: () => {
        this.#remotes.clear();
        this.#byGroupVersion.clear();
      },
    });
  }

  /** The way to a group and version that this server does not answer itself. */
  find(group: string, version: string): RemoteApi | undefined {
    return this.#byGroupVersion.size === 0 ? undefined : this.#byGroupVersion.get(`${group}/${version}`);
  }

  byName(name: string): RemoteApi | undefined {
    return this.#remotes.get(name);
  }

  get remotes(): Iterable<RemoteApi> {
    return this.#remotes.values();
  }

  listen(listener: IndexListener): void {
    this.#listeners.add(listener);
  }

  #put(remote: RemoteApi | undefined, key: string): void {
    this.revision += 1;
    const { name } = namesOfKey(key, API_SERVICES_PREFIX);
    const former = this.#remotes.get(name);
    if (former !== undefined) this.#byGroupVersion.delete(`${former.group}/${former.version}`);
    if (remote === undefined) this.#remotes.delete(name);
    else {
      this.#remotes.set(name, remote);
      this.#byGroupVersion.set(`${remote.group}/${remote.version}`, remote);
    }
    if (former === undefined && remote === undefined) return;
    for (const listener of this.#listeners) listener.onChange(name, remote);
  }
}

/** Undefined for groups of our own. */
function remoteApiOf({ metadata, spec = {}, status }: ApiService): RemoteApi | undefined {
  const { service } = spec;
  if (service === undefined) return undefined;
  return {
    name: metadata.name,
    group: spec.group ?? '',
    version: spec.version ?? '',
    groupPriority: spec.groupPriorityMinimum ?? 0,
    versionPriority: spec.versionPriority ?? 0,
    service: { namespace: service.namespace ?? '', name: service.name ?? '', port: service.port ?? DEFAULT_PORT },
    caBundle: spec.caBundle,
    insecureSkipTlsVerify: spec.insecureSkipTLSVerify ?? false,
    isAvailable: status?.conditions?.some(({ type, status: is }) => type === 'Available' && is === 'True') ?? false,
  };
}
