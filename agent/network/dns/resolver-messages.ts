import type { LogFields, LogLevel } from '#base/logger.ts';
import type { NamesChange } from './service-names.ts';

/** What the resolver's thread is started with. */
export interface ResolverSettings {
  /** All of them on one port. */
  readonly addresses: readonly string[];
  /** Of UDP and TCP; 0 asks for a free one. */
  readonly port: number;
  readonly clusterDomain: string;
  /** Addresses of the cluster DNS: asking there would be asking ourselves. */
  readonly clusterDns: readonly string[];
  /** Who may ask besides this node. */
  readonly clusterCidrs: readonly string[];
  /** Resolvers to ask instead of the host's; empty: the host's. */
  readonly upstreams: readonly string[];
  /** `corp.example=10.0.0.53`. */
  readonly stubDomains: readonly string[];
}

export type ToResolver =
  | { readonly kind: 'names'; readonly changes: readonly NamesChange[] }
  /** All names that there are have been told: from now on a name that is not known does not exist. */
  | { readonly kind: 'synced' }
  | { readonly kind: 'render-metrics' };

export type FromResolver =
  | { readonly kind: 'listening'; readonly port: number }
  /** It cannot listen; its thread ends. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'metrics'; readonly text: string }
  | { readonly kind: 'log'; readonly level: LogLevel; readonly message: string; readonly fields: LogFields };

/** The resolver in a thread of its own, as the agent's main thread sees it. */
export interface ResolverThread {
  post(message: ToResolver): void;
  onMessage(listener: (message: FromResolver) => void): void;
  /** Called once, whatever ended it. */
  onEnd(listener: (reason: string) => void): void;
  end(): void;
}
