import type { Host } from '../../../host/host.ts';
import type { NetworkProblem } from '../../network-problem.ts';
import { encryptionUnavailable } from './encrypted-paths.ts';
import { WIREGUARD_USERSPACE } from './wireguard-device.ts';

/** What `coracle doctor network` says where encryption is asked for. Changes nothing. */
export async function findLackOfWireguard({ exec, fs }: Host): Promise<NetworkProblem | undefined> {
  const lack = (text: string) => encryptionUnavailable(new Error(text), true);
  if ((await exec.find('wg')) === undefined) return lack('the program wg is not installed');
  if ((await exec.find(WIREGUARD_USERSPACE)) !== undefined) return undefined;
  if ((await fs.info('/sys/module/wireguard')) !== undefined) return undefined;
  const isLoadable = await exec.run(['modprobe', '--dry-run', '--quiet', 'wireguard']).then(
    () => true,
    () => false,
  );
  return isLoadable ? undefined : lack(`the kernel has no WireGuard, and ${WIREGUARD_USERSPACE} is not installed`);
}
