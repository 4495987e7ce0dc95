import { type ApiError, badRequest } from '#api/object/api-error.ts';
import {
  type FieldError,
  forbiddenField,
  invalid,
  invalidObject,
  notSupported,
  tooLong,
} from '#api/object/field-error.ts';
import { isTrue } from '../chain/request-info.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** Query options of create, update and patch. */
export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldManager: string | undefined;
  readonly fieldValidation: FieldValidation;
  /** Server-side apply takes fields over from other managers. */
  readonly force: boolean;
}

const NO_WISHES: WriteOptions = { dryRun: false, fieldManager: undefined, fieldValidation: 'Warn', force: false };
const FIELD_VALIDATIONS: readonly string[] = ['', 'Ignore', 'Strict', 'Warn'];
const MAX_MANAGER_BYTES = 128;

/** Throws 422 naming the option, as Kubernetes does; `kind` is CreateOptions, UpdateOptions or PatchOptions. */
export function parseWriteOptions(query: URLSearchParams, kind: string): WriteOptions {
  if (query.size === 0) return NO_WISHES;
  const errors: FieldError[] = [];
  const dryRuns = query.getAll('dryRun').filter((value) => value !== '');
  for (const value of dryRuns) if (value !== 'All') errors.push(notSupported('dryRun', value, ['All']));
  const manager = query.get('fieldManager') ?? undefined;
  if (manager !== undefined) errors.push(...managerErrors(manager));
  const validation = query.get('fieldValidation') || 'Warn';
  if (!FIELD_VALIDATIONS.includes(validation)) {
    errors.push(notSupported('fieldValidation', validation, FIELD_VALIDATIONS));
  }
  if (errors.length > 0) throw invalidObject(metaKind(kind), '', errors);
  return {
    dryRun: dryRuns.length > 0,
    fieldManager: manager,
    fieldValidation: validation as FieldValidation,
    force: isTrue(query.get('force')),
  };
}

/** Not printable by Go's reckoning; a space is, other white space is not. */
const UNPRINTABLE = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u;

function managerErrors(manager: string): FieldError[] {
  const errors: FieldError[] = [];
  if (Buffer.byteLength(manager) > MAX_MANAGER_BYTES) errors.push(tooLong('fieldManager', MAX_MANAGER_BYTES));
  const found = UNPRINTABLE.exec(manager);
  if (found !== null) {
    const code = (found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0');
    const at = Buffer.byteLength(manager.slice(0, found.index));
    errors.push(invalid('fieldManager', manager, `invalid character U+${code} (at position ${at})`));
  }
  return errors;
}

export interface ListOptions {
  readonly labelSelector: string;
  readonly fieldSelector: string;
  /** '' when unset. */
  readonly resourceVersion: string;
  readonly resourceVersionMatch: '' | 'Exact' | 'NotOlderThan';
  /** 0 = all. */
  readonly limit: number;
  readonly continue: string;
  readonly timeoutSeconds: number | undefined;
  readonly allowWatchBookmarks: boolean;
  readonly sendInitialEvents: boolean | undefined;
}

/** Options of list, watch and deletecollection. Throws 400 for what is no number, 422 for combinations that make no sense. */
export function parseListOptions(query: URLSearchParams, isWatch: boolean): ListOptions {
  const options: ListOptions = {
    labelSelector: query.get('labelSelector') ?? '',
    fieldSelector: query.get('fieldSelector') ?? '',
    resourceVersion: query.get('resourceVersion') ?? '',
    resourceVersionMatch: (query.get('resourceVersionMatch') ?? '') as ListOptions['resourceVersionMatch'],
    limit: integerOf(query, 'limit') ?? 0,
    continue: query.get('continue') ?? '',
    timeoutSeconds: integerOf(query, 'timeoutSeconds'),
    allowWatchBookmarks: isTrue(query.get('allowWatchBookmarks')),
    sendInitialEvents: query.has('sendInitialEvents') ? isTrue(query.get('sendInitialEvents')) : undefined,
  };
  const errors = isWatch ? watchErrors(options) : listErrors(options);
  if (errors.length > 0) throw invalidObject(metaKind('ListOptions'), '', errors);
  return options;
}

const metaKind = (kind: string) => ({ group: 'meta.k8s.io', version: 'v1', kind });
const MATCHES: readonly string[] = ['Exact', 'NotOlderThan', ''];

function listErrors(options: ListOptions): FieldError[] {
  const { resourceVersionMatch: match, resourceVersion } = options;
  const errors: FieldError[] = [];
  if (options.sendInitialEvents !== undefined) {
    errors.push(forbiddenField('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
  if (match === '') return errors;
  const at = 'resourceVersionMatch';
  if (options.continue !== '')
    errors.push(forbiddenField(at, 'resourceVersionMatch is forbidden when continue is provided'));
  if (resourceVersion === '')
    errors.push(forbiddenField(at, 'resourceVersionMatch is forbidden unless resourceVersion is provided'));
  if (!MATCHES.includes(match)) errors.push(notSupported(at, match, MATCHES));
  if (match === 'Exact' && resourceVersion === '0') {
    errors.push(forbiddenField(at, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'));
  }
  return errors;
}

function watchErrors(options: ListOptions): FieldError[] {
  const { resourceVersionMatch: match, sendInitialEvents } = options;
  const at = 'resourceVersionMatch';
  if (sendInitialEvents === undefined) {
    if (match === '') return [];
    return [forbiddenField(at, 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided')];
  }
  if (match === 'NotOlderThan') return [];
  return [forbiddenField(at, 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan')];
}

/** The refusal of a server whose backend cannot vouch for such a list, in the words of one that does not have them. */
export function watchListsUnavailable(): ApiError {
  const reason = 'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled';
  return invalidObject(metaKind('ListOptions'), '', [forbiddenField('sendInitialEvents', reason)]);
}

function integerOf(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d{1,18}$/.test(text)) throw badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

/** A revision from a resourceVersion parameter; undefined when unset. Throws 400 for anything but a whole number. */
export function parseResourceVersion(text: string): number | undefined {
  if (text === '') return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw badRequest(`invalid resource version ${JSON.stringify(text)}`);
  return value;
}
