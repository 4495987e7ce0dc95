import { type FieldError, forbiddenField, notSupported, required } from '#api/object/field-error.ts';

const MODES: Readonly<Record<string, string>> = {
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOnce: 'RWO',
  ReadWriteOncePod: 'RWOP',
};
const SHORT_ORDER = ['RWO', 'ROX', 'RWX', 'RWOP'];
const ALONE = 'ReadWriteOncePod';

/** `missing`: what is said when there is none. */
export function validateAccessModes(modes: readonly string[], path: string, missing: string): FieldError[] {
  const errors = modes.length === 0 ? [required(path, missing)] : [];
  errors.push(
    ...modes.filter((mode) => !Object.hasOwn(MODES, mode)).map((mode) => notSupported(path, mode, Object.keys(MODES))),
  );
  if (modes.includes(ALONE) && modes.some((mode) => mode !== ALONE)) {
    errors.push(forbiddenField(path, 'may not use ReadWriteOncePod with other access modes'));
  }
  return errors;
}

/** `RWO,ROX` */
export function formatAccessModes(modes: readonly string[] | undefined): string {
  const shown = new Set((modes ?? []).map((mode) => (Object.hasOwn(MODES, mode) ? MODES[mode] : undefined)));
  return SHORT_ORDER.filter((short) => shown.has(short)).join(',');
}
