import { readFileSync } from 'node:fs';
import { ConfigError } from '#base/config.ts';

/** Text of the administrator's kubeconfig; throws a ConfigError that tells how to come by it. */
export function readAdminKubeconfig(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    switch ((err as NodeJS.ErrnoException).code) {
      case 'ENOENT':
        throw new ConfigError(`${path} does not exist: run this where the controller runs, or set KUBECONFIG`);
      case 'EACCES':
        throw new ConfigError(`${path} is not readable for this user: run this as root`);
      default:
        throw err;
    }
  }
}
