import type { Host } from '../host/host.ts';

/**
 * Remembers what the agent changed on the host outside its own directories, with the value from before, so that `coracle agent cleanup`
 * puts it back. Written before the change is made: a crash in between restores a value that never changed, which does no harm.
 */
export class HostChanges {
  readonly #host: Host;
  readonly #path: string;
  #sysctls: Record<string, string> | undefined;
  /** One change after the other: two that begin together would each write a file without what the other remembers. */
  #changing: Promise<unknown> = Promise.resolve();

  constructor(host: Host, path: string) {
    this.#host = host;
    this.#path = path;
  }

  /** Sets a kernel key and remembers its first value; false when this kernel has no such key or refuses it. */
  setSysctl(name: string, value: string): Promise<boolean> {
    const change = this.#changing.then(() => this.#set(name, value));
    this.#changing = change.catch(() => {});
    return change;
  }

  async #set(name: string, value: string): Promise<boolean> {
    const current = await this.#host.readSysctl(name);
    if (current === undefined) return false;
    if (current === value) return true;
    const remembered = await this.#load();
    if (remembered[name] === undefined) {
      remembered[name] = current;
      await this.#host.fs.writeAtomic(this.#path, `${JSON.stringify({ sysctls: remembered }, null, 2)}\n`, {
        mode: 0o600,
        durable: true,
      });
    }
    return this.#host.writeSysctl(name, value);
  }

  async restore(): Promise<void> {
    const remembered = await this.#load();
    for (const [name, value] of Object.entries(remembered)) await this.#host.writeSysctl(name, value);
    await this.#host.fs.remove(this.#path);
    this.#sysctls = {};
  }

  async #load(): Promise<Record<string, string>> {
    if (this.#sysctls !== undefined) return this.#sysctls;
    if ((await this.#host.fs.info(this.#path)) === undefined) {
      this.#sysctls = {};
    } else {
      const parsed = JSON.parse(await this.#host.fs.readText(this.#path)) as { sysctls?: Record<string, string> };
      this.#sysctls = parsed.sysctls ?? {};
    }
    return this.#sysctls;
  }
}
