import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { ConfigError } from '#base/config.ts';
import { describeError } from '#base/errors.ts';

/** Shorter ones are guessed however slow each guess is. */
const MIN_CHARACTERS = 8;

/** The first line of a file. Throws ConfigError. */
export async function readPassphraseFile(path: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (err) {
    throw new ConfigError(`the passphrase: ${describeError(err)}`);
  }
  return checkPassphrase(text.split(/\r?\n/)[0]!, path);
}

function checkPassphrase(text: string, where: string): string {
  if ([...text].length < MIN_CHARACTERS)
    throw new ConfigError(`${where}: the passphrase is too short: ${MIN_CHARACTERS} characters at least`);
  return text;
}

/** From the file, the variable CORACLE_BACKUP_PASSPHRASE, or the terminal; `isNew` asks twice. */
export async function findPassphrase({ file, isNew }: { file: string; isNew: boolean }): Promise<string> {
  if (file !== '') return readPassphraseFile(file);
  const fromEnvironment = process.env.CORACLE_BACKUP_PASSPHRASE;
  if (fromEnvironment !== undefined) return checkPassphrase(fromEnvironment, 'CORACLE_BACKUP_PASSPHRASE');
  if (!process.stdin.isTTY) {
    throw new ConfigError(
      'a passphrase is needed: --passphrase-file names a file with it, or set CORACLE_BACKUP_PASSPHRASE',
    );
  }
  const passphrase = await ask('Passphrase: ');
  checkPassphrase(passphrase, 'the terminal');
  if (isNew && (await ask('The same again: ')) !== passphrase) throw new ConfigError('the two passphrases differ');
  return passphrase;
}

/** Without echo. */
async function ask(question: string): Promise<string> {
  process.stderr.write(question);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  // The terminal is raw while it is asked, and would swallow it.
  terminal.once('SIGINT', () => {
    terminal.close();
    process.kill(process.pid, 'SIGINT');
  });
  try {
    return await terminal.question('');
  } finally {
    terminal.close();
    process.stderr.write('\n');
  }
}
