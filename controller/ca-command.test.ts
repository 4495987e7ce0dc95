import { expect, it } from 'vitest';
import { runCaCommand } from './ca-command.ts';

it.each<[string, readonly string[], boolean, RegExp]>([
  ['no action', [], false, /action is missing: show, rotate or retire/],
  ['another action', ['renew'], false, /unknown action "renew"/],
  ['more words', ['show', 'x'], false, /unexpected argument "x"/],
  ['a folder without a CA', ['show'], false, /holds no CA/],
  ['nothing to rotate', ['rotate'], false, /holds no CA with its key/],
  ['nothing to retire', ['retire'], false, /no CA waits/],
  ['controllers that share an etcd', ['rotate'], true, /stop all but this one/],
])('refuses %s', async (_, argv, isShared, message) => {
  await expect(runCaCommand(argv, '/nowhere', isShared)).rejects.toThrow(message);
});
