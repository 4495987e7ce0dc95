import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, refuseArguments } from '#base/config.ts';
import { RotationRefused, readCaLinks, retireCa, rotateCa } from './pki/ca-rotation.ts';
import { publicKeyHash, readCertificateFacts } from './pki/certificate-facts.ts';
import { openFlooredClock } from './time-floor.ts';

const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

/**
 * `coracle ca show|rotate|retire`, on the keys of the controller of this machine. Answers what to tell. `isShared`: other controllers of the
 * cluster may hold the CA too, each in a folder of its own.
 */
export async function runCaCommand(argv: readonly string[], dataDir: string, isShared = false): Promise<string> {
  const [action, ...rest] = argv;
  const isAlone = action === 'rotate' && rest[0] === '--alone';
  refuseArguments(isAlone ? rest.slice(1) : rest);
  if (action === 'rotate' && isShared && !isAlone) {
    throw new ConfigError(
      'controllers that share an etcd have the CA each, and those that know nothing of another one would go on with theirs: stop all but this one, say --alone, and let the others join anew',
    );
  }
  const dir = join(dataDir, 'pki');
  try {
    switch (action) {
      case 'show':
        return await show(dir);
      case 'rotate':
        return [
          `the CA is now ${await rotateCa({ dir, clock: await openFlooredClock(dataDir) })}`,
          'The controller takes it up within half a minute, nodes as soon as they hear of it; certificates of the CA before stay good.',
          'Give users other kubeconfigs, then end the trust in the CA before: coracle ca retire',
        ].join('\n');
      case 'retire':
        await retireCa(dir);
        return 'the CA before the present one is trusted no more, within half a minute';
      default:
        throw new ConfigError(
          `${action === undefined ? 'the action is missing' : `unknown action "${action}"`}: show, rotate or retire; see "coracle ca --help"`,
        );
    }
  } catch (err) {
    throw err instanceof RotationRefused ? new ConfigError(err.message) : err;
  }
}

async function show(dir: string): Promise<string> {
  const caPem = await readFile(join(dir, 'ca.crt'), 'utf8').catch((err: NodeJS.ErrnoException) => {
    throw err.code === 'ENOENT' ? new ConfigError(`${dir} holds no CA: run this where the controller runs`) : err;
  });
  const { previousPem } = await readCaLinks(dir, caPem);
  const line = (what: string, pem: string) =>
    `${what.padEnd(10)}${publicKeyHash(pem)}  until ${date(readCertificateFacts(pem).notAfterMs)}`;
  return [line('signs', caPem), ...(previousPem === '' ? [] : [line('trusted', previousPem)])].join('\n');
}
