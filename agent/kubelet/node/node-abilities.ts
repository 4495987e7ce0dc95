import { describeError } from '#base/errors.ts';
import type { KubeletDeps } from '../kubelet-deps.ts';
import type { NodeAbilities } from './pod-security-admission.ts';

/** A runtime that does not answer yet is taken for one that can do nothing special. */
export async function readAbilities({ runtime, host, config, log }: KubeletDeps): Promise<NodeAbilities> {
  const features = await runtime.features().catch((err: unknown) => {
    log.warn('the runtime did not tell what it can do', { err: describeError(err) });
    return { supplementalGroupsPolicy: false, handlers: [] };
  });
  const appArmor = await host.fs.readText('/sys/module/apparmor/parameters/enabled').catch(() => 'N');
  const { allowedUnsafeSysctls } = config;
  return { features, hasAppArmor: appArmor.trim() === 'Y', allowedUnsafeSysctls };
}
