import { type Logger as PinoLogger, pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Structured logging: a constant message first, then lowerCamelCase fields.
 * error = a person must act, warn = heals by itself, info = a state changed, debug = each sync.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to every line. A `component` is one within ours: `brain` and then `scheduler` is `brain/scheduler`. */
  child(fields: LogFields): Logger;
}

/** Each child is made anew from the root with all its fields: pino's own children repeat a key that is given twice, which is no good JSON. */
function adapt(root: PinoLogger, fields: LogFields): Logger {
  const target = root.child(fields);
  return {
    debug: (message, extra) => target.debug(extra ?? {}, message),
    info: (message, extra) => target.info(extra ?? {}, message),
    warn: (message, extra) => target.warn(extra ?? {}, message),
    error: (message, extra) => target.error(extra ?? {}, message),
    child: (more) => adapt(root, { ...fields, ...more, component: componentPath(fields.component, more.component) }),
  };
}

function componentPath(parent: unknown, child: unknown): unknown {
  return child === undefined ? parent : `${parent}/${child}`;
}

/** Where lines go; undefined writes to standard error at once, so that the last words of a crash are not lost. */
export type LogDestination = { write(line: string): void };

/** Writes one JSON line per message; `err` fields are printed with stack and cause. */
export function createLogger(component: string, level: LogLevel = 'info', destination?: LogDestination): Logger {
  const root = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination ?? pino.destination({ fd: 2, sync: true }),
  );
  return adapt(root, { component });
}

export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silentLogger,
};
