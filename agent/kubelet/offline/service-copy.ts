import { hash } from 'node:crypto';
import type { Informer } from '#api/client/informer.ts';
import type { Service } from '#api/object/kinds.ts';
import { type Clock, delay } from '#base/clock.ts';
import { describeError } from '#base/errors.ts';
import type { Logger } from '#base/logger.ts';
import type { FileSystem } from '../../host/host.ts';

export interface ServiceCopyOptions {
  readonly fs: FileSystem;
  readonly path: string;
  readonly services: Informer<Service>;
  readonly clock: Clock;
  readonly log: Logger;
}

const CHECK_MS = 60_000;

/** Services as containers see them in their variables, remembered for starts while the API cannot be asked. */
export class ServiceCopy {
  readonly #options: ServiceCopyOptions;
  /** Of what was written last. */
  #digest = '';
  #remembered: readonly Service[] | undefined;

  constructor(options: ServiceCopyOptions) {
    this.#options = options;
  }

  /** What the API says, else what it said before the agent was started; undefined when it never said anything. */
  list(): readonly Service[] | undefined {
    const { services } = this.#options;
    return services.hasSynced ? services.list() : this.#remembered;
  }

  /** Call when the API has not answered: from then on `list` answers from memory. */
  async remember(): Promise<void> {
    const { fs, path, log } = this.#options;
    try {
      const text = await fs.readText(path);
      this.#remembered = JSON.parse(text) as Service[];
      this.#digest = hash('sha256', text);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn('remembered services cannot be read', { path, err: describeError(err) });
    }
  }

  /** Writes what has changed, seldom, until aborted. */
  async keep(signal: AbortSignal): Promise<void> {
    const { fs, path, services, clock, log } = this.#options;
    while (!signal.aborted) {
      await delay(clock, CHECK_MS, signal).catch(() => undefined);
      if (signal.aborted || !services.hasSynced) continue;
      const text = JSON.stringify(services.list().map(essential).sort(byName));
      const digest = hash('sha256', text);
      if (digest === this.#digest) continue;
      try {
        await fs.writeAtomic(path, text, { mode: 0o600 });
        this.#digest = digest;
      } catch (err) {
        log.warn('services could not be remembered', { path, err: describeError(err) });
      }
    }
  }
}

function essential({ apiVersion, kind, metadata, spec }: Service) {
  const { name, namespace } = metadata;
  return {
    apiVersion,
    kind,
    metadata: { name, namespace },
    spec: { type: spec?.type, clusterIP: spec?.clusterIP, ports: spec?.ports },
  };
}

/** What is held of each, for an informer: a large cluster has tens of thousands, and the network of the node holds them too. */
export function essentialService(service: Service): Service {
  const { metadata, ...rest } = essential(service);
  const { uid, resourceVersion } = service.metadata;
  return { ...rest, metadata: { ...metadata, uid, resourceVersion } } as Service;
}

const byName = (a: ReturnType<typeof essential>, b: ReturnType<typeof essential>) =>
  `${a.metadata.namespace}/${a.metadata.name}` < `${b.metadata.namespace}/${b.metadata.name}` ? -1 : 1;
