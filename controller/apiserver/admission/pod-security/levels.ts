import { type FieldError, invalid } from '#api/object/field-error.ts';

export type Level = 'privileged' | 'baseline' | 'restricted';

/** From the least to the most strict. */
const LEVELS: readonly Level[] = ['privileged', 'baseline', 'restricted'];

/** A level of the Pod Security Standards as a version of Kubernetes defined it. */
export interface LevelVersion {
  readonly level: Level;
  /** Minor version; infinity for `latest`. */
  readonly minor: number;
}

/** What a namespace asks of its pods. */
export interface PodSecurityPolicy {
  readonly enforce: LevelVersion;
  readonly audit: LevelVersion;
  readonly warn: LevelVersion;
}

export type Labels = Readonly<Record<string, string>>;

const PREFIX = 'pod-security.kubernetes.io/';
const ANYTHING: LevelVersion = { level: 'privileged', minor: Number.POSITIVE_INFINITY };
const VERSION = /^v1\.(0|[1-9]\d*)$/;

export const compareLevels = (a: Level, b: Level): number => LEVELS.indexOf(a) - LEVELS.indexOf(b);

export const isSameLevel = (a: LevelVersion, b: LevelVersion): boolean => a.level === b.level && a.minor === b.minor;

export function renderLevel({ level, minor }: LevelVersion): string {
  return `${level}:${Number.isFinite(minor) ? `v1.${minor}` : 'latest'}`;
}

/** What does not parse is enforced in its strictest form, and neither audited nor warned of. */
function parseMode(labels: Labels, mode: 'enforce' | 'audit' | 'warn', errors: FieldError[]): LevelVersion {
  const [levelLabel, versionLabel] = [`${PREFIX}${mode}`, `${PREFIX}${mode}-version`];
  const [wanted, version] = [labels[levelLabel], labels[versionLabel]];
  let level = (wanted ?? ANYTHING.level) as Level;
  if (!LEVELS.includes(level)) {
    errors.push(invalid(`metadata.labels[${levelLabel}]`, wanted, `must be one of ${LEVELS.join(', ')}`));
    level = mode === 'enforce' ? 'restricted' : 'privileged';
  }
  if (version === undefined || version === 'latest') return { level, minor: Number.POSITIVE_INFINITY };
  const minor = VERSION.exec(version)?.[1];
  if (minor !== undefined) return { level, minor: Number(minor) };
  errors.push(invalid(`metadata.labels[${versionLabel}]`, version, 'must be "latest" or "v1.x"'));
  return { level, minor: Number.POSITIVE_INFINITY };
}

/** A policy is always answered, also beside errors. */
export function parsePolicy(labels: Labels | undefined): {
  readonly policy: PodSecurityPolicy;
  readonly errors: readonly FieldError[];
} {
  if (labels === undefined) return { policy: { enforce: ANYTHING, audit: ANYTHING, warn: ANYTHING }, errors: [] };
  const errors: FieldError[] = [];
  const enforce = parseMode(labels, 'enforce', errors);
  const audit = parseMode(labels, 'audit', errors);
  const warn = parseMode(labels, 'warn', errors);
  return { policy: { enforce, audit, warn }, errors };
}
