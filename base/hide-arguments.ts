/** Flags whose value lets its reader into a cluster. */
const SECRET_FLAGS: ReadonlySet<string> = new Set(['--token', '--join']);
const HIDDEN = '********';

/** The command line with the values of such flags made unreadable; undefined when there are none. */
export function hideSecrets(argv: readonly string[]): readonly string[] | undefined {
  const hidden = argv.map((word, i) => {
    const [flag = '', value] = word.split('=', 2);
    if (value !== undefined && SECRET_FLAGS.has(flag)) return `${flag}=${HIDDEN}`;
    return SECRET_FLAGS.has(argv[i - 1] ?? '') ? HIDDEN : word;
  });
  return hidden.some((word, i) => word !== argv[i]) ? hidden : undefined;
}

/**
 * Every user of a host may read the command line of every process, and an agent that was given its join token as a flag keeps it there for
 * as long as it runs: what the system shows is overwritten. Best done first.
 */
export function hideSecretArguments(): void {
  const { argv0, execArgv, argv } = process;
  const shown = hideSecrets(argv.slice(1));
  // As long as what it replaces or shorter, or the end would be cut off.
  if (shown !== undefined) process.title = [argv0, ...execArgv, ...shown].join(' ');
}
