import type { Secret } from '#api/object/kinds.ts';
import type { KubeletDeps } from '../../kubelet-deps.ts';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { PodEvents } from '../../pod-events.ts';
import type { ReferencedObjects } from '../../referenced-objects.ts';
import type { PersistentClaims } from '../persistent-claims.ts';
import type { TokenSource } from '../token-source.ts';
import { CsiBlockVolumes } from './csi-block-volumes.ts';
import { CsiCalls } from './csi-calls.ts';
import { NO_DRIVERS } from './csi-driver.ts';
import { CsiVolumes } from './csi-volumes.ts';
import { KeyLock } from './key-lock.ts';

export interface CsiSources {
  readonly reads: PersistentClaims;
  readonly secrets: ReferencedObjects<Secret>;
  readonly tokens: TokenSource;
  readonly events: PodEvents;
}

/** The volumes of CSI drivers, as file systems and as devices: what is done to one volume is done in turn, by whichever of the two. */
export function createCsiVolumes(
  {
    host,
    config,
    csiDrivers: drivers = NO_DRIVERS,
    clock,
    log,
    node,
  }: KubeletDeps & { readonly node: Pick<NodeAgent, 'tellInUse'> },
  { reads, secrets, tokens, events }: CsiSources,
): { readonly csi: CsiVolumes; readonly csiBlock: CsiBlockVolumes } {
  const { nodeName, rootDir: root } = config;
  const calls = new CsiCalls({
    ...{ nodeName, drivers, reads, events, clock },
    secret: (uid, { namespace, name }) => secrets.read(uid, namespace, name),
    token: (pod, spec) => tokens.token(pod, spec),
  });
  const tellInUse = (name: string) => node.tellInUse(name);
  const options = { host, root, nodeName, drivers, calls, tellInUse, locks: new KeyLock(), clock, log };
  return { csi: new CsiVolumes(options), csiBlock: new CsiBlockVolumes(options) };
}
