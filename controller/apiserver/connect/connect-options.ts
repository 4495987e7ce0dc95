import type { Clock } from '#base/clock.ts';
import type { Logger } from '#base/logger.ts';
import type { Authorizer } from '../chain/request-context.ts';
import type { KubeletTls } from './kubelet-client.ts';

/** What the composition root hands to the streaming subresources. */
export interface ConnectOptions {
  /** Asked at each request, so that a renewed certificate is used. */
  readonly kubeletTls: () => KubeletTls;
  readonly clock: Clock;
  readonly log: Logger;
  /** WebSocket clients come with GET; they must also be allowed what POST would ask for. */
  readonly authorizer: Authorizer;
}
