import { ConfigError } from './config-error.ts';

/**
 * The value of `key` in an env file (KEP-3721): lines of `NAME='value'`, where a value in single quotes may span lines and holds no
 * escapes; blank lines and lines that begin with `#` are passed over. undefined where the file does not have the key. Throws for
 * anything else, so that a file that looks like a shell script is not half understood.
 */
export function envFileValue(text: string, key: string): string | undefined {
  let found: string | undefined;
  for (let position = 0; position < text.length; ) {
    const end = endOfLine(text, position);
    const line = text.slice(position, end).trimStart();
    if (line.trim() === '' || line.startsWith('#')) {
      position = end + 1;
      continue;
    }
    const [, name, quote] = /^([^\s=']+)=(')/.exec(line) ?? [];
    if (name === undefined || quote === undefined)
      throw new ConfigError(`invalid environment variable format: ${JSON.stringify(line.slice(0, 80))}`);
    const start = end - line.length + name.length + 2;
    const close = text.indexOf("'", start);
    if (close < 0) throw new ConfigError(`unterminated value of ${name} in the environment file`);
    if (name === key) found = text.slice(start, close);
    position = endOfLine(text, close) + 1;
  }
  return found;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from);
  return end < 0 ? text.length : end;
}
