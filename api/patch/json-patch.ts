import { ApiError, badRequest } from '../object/api-error.ts';
import { deepCopy } from '../object/deep-copy.ts';
import { deepEqual } from '../object/deep-equal.ts';
import { isJsonObject } from '../object/json.ts';
import { setOwn } from '../object/own-property.ts';

/** Kubernetes' own limit. */
const MAX_OPERATIONS = 10_000;
/** Copies may not blow a document up beyond what a request may carry anyway. */
const MAX_COPIED_BYTES = 3 * 1024 * 1024;
/** List items that inserts and removals may shift in all: about 20 ms of work; a patch can otherwise ask for minutes. */
const MAX_SHIFTED_ITEMS = 20_000_000;

interface Operation {
  readonly op: string;
  readonly path: readonly string[];
  readonly from: readonly string[] | undefined;
  readonly value: unknown;
  readonly hasValue: boolean;
}

/**
 * RFC 6902. `doc` is not changed. Throws ApiError 400 for a patch that is none, 413 beyond 10,000 operations, 422 for one that does not
 * fit the document (a failed `test` included); nothing is applied then.
 */
export function applyJsonPatch(doc: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest('error decoding patch: a JSON patch must be a list of operations');
  if (patch.length > MAX_OPERATIONS) {
    throw new ApiError(
      413,
      'RequestEntityTooLarge',
      `Request entity too large: The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${patch.length}`,
    );
  }
  const operations = patch.map(parseOperation);
  const state = { root: deepCopy(doc), copiedBytes: 0, shiftedItems: 0 };
  for (const [index, operation] of operations.entries()) applyOperation(state, operation, index);
  return state.root;
}

function parseOperation(raw: unknown, index: number): Operation {
  const wrong = (why: string) => badRequest(`error decoding patch: operation ${index}: ${why}`);
  if (!isJsonObject(raw)) throw wrong('not an object');
  const { op, path, from } = raw;
  if (typeof op !== 'string' || !['add', 'remove', 'replace', 'move', 'copy', 'test'].includes(op)) {
    throw wrong(`unexpected op ${JSON.stringify(op ?? '')}`);
  }
  if (typeof path !== 'string') throw wrong('missing "path"');
  const needsFrom = op === 'move' || op === 'copy';
  if (needsFrom && typeof from !== 'string') throw wrong('missing "from"');
  const hasValue = Object.hasOwn(raw, 'value');
  if ((op === 'add' || op === 'replace') && !hasValue) throw wrong('missing "value"');
  return {
    op,
    path: parsePointer(path, wrong),
    from: needsFrom ? parsePointer(from as string, wrong) : undefined,
    value: raw.value,
    hasValue,
  };
}

function parsePointer(pointer: string, wrong: (why: string) => ApiError): string[] {
  if (pointer === '') return [];
  if (!pointer.startsWith('/')) throw wrong(`path ${JSON.stringify(pointer)} does not start with "/"`);
  return pointer
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

interface State {
  root: unknown;
  copiedBytes: number;
  shiftedItems: number;
}

function applyOperation(state: State, operation: Operation, index: number): void {
  const fail = (why: string) =>
    new ApiError(
      422,
      'Invalid',
      `the server rejected our request due to an error in our request: operation ${index} (${operation.op} ${JSON.stringify(renderPointer(operation.path))}): ${why}`,
    );
  switch (operation.op) {
    case 'add':
      add(state, operation.path, deepCopy(operation.value), fail);
      break;
    case 'remove':
      remove(state, operation.path, fail);
      break;
    case 'replace':
      replace(state, operation.path, deepCopy(operation.value), fail);
      break;
    case 'move': {
      const from = operation.from!;
      const isInside = operation.path.length > from.length && from.every((token, at) => operation.path[at] === token);
      if (isInside) throw fail('a value cannot be moved into itself');
      const value = find(state.root, from, fail);
      remove(state, from, fail);
      add(state, operation.path, value, fail);
      break;
    }
    case 'copy': {
      const value = find(state.root, operation.from!, fail);
      state.copiedBytes += JSON.stringify(value).length;
      if (state.copiedBytes > MAX_COPIED_BYTES) throw fail(`copies exceed ${MAX_COPIED_BYTES} bytes`);
      add(state, operation.path, deepCopy(value), fail);
      break;
    }
    default:
      test(state.root, operation, fail);
  }
}

type Fail = (why: string) => ApiError;

function test(root: unknown, { path, value }: Operation, fail: Fail): void {
  // Go's patch library takes a missing member and null for the same thing here, and scripts rely on it.
  const actual = lookUp(root, path);
  if (!deepEqual(actual ?? null, value ?? null)) throw fail('testing value failed');
}

function add(state: State, path: readonly string[], value: unknown, fail: Fail): void {
  if (path.length === 0) {
    state.root = value;
    return;
  }
  const parent = find(state.root, path.slice(0, -1), fail);
  const token = path.at(-1)!;
  if (Array.isArray(parent)) {
    const at = token === '-' ? parent.length : indexOf(token, parent.length, fail);
    shift(state, parent.length - at, fail);
    parent.splice(at, 0, value);
  } else if (isJsonObject(parent)) setOwn(parent, token, value);
  else throw fail('the parent is neither an object nor a list');
}

function remove(state: State, path: readonly string[], fail: Fail): void {
  if (path.length === 0) throw fail('the whole document cannot be removed');
  find(state.root, path, fail);
  const parent = find(state.root, path.slice(0, -1), fail);
  if (Array.isArray(parent)) {
    shift(state, parent.length - Number(path.at(-1)), fail);
    parent.splice(Number(path.at(-1)), 1);
  } else delete (parent as Record<string, unknown>)[path.at(-1)!];
}

function shift(state: State, items: number, fail: Fail): void {
  state.shiftedItems += items;
  if (state.shiftedItems > MAX_SHIFTED_ITEMS) throw fail('the patch shifts too many list items');
}

function replace(state: State, path: readonly string[], value: unknown, fail: Fail): void {
  find(state.root, path, fail);
  if (path.length === 0) {
    state.root = value;
    return;
  }
  const parent = find(state.root, path.slice(0, -1), fail);
  if (Array.isArray(parent)) parent[Number(path.at(-1))] = value;
  else setOwn(parent as Record<string, unknown>, path.at(-1)!, value);
}

function find(root: unknown, path: readonly string[], fail: Fail): unknown {
  const value = lookUp(root, path);
  if (value === undefined) throw fail(`nothing at ${JSON.stringify(renderPointer(path))}`);
  return value;
}

function lookUp(root: unknown, path: readonly string[]): unknown {
  let value = root;
  for (const token of path) {
    if (Array.isArray(value)) value = INDEX.test(token) ? value[Number(token)] : undefined;
    else if (isJsonObject(value)) value = Object.hasOwn(value, token) ? value[token] : undefined;
    else return undefined;
  }
  return value;
}

const INDEX = /^(?:0|[1-9][0-9]{0,8})$/;

function indexOf(token: string, length: number, fail: Fail): number {
  if (!INDEX.test(token) || Number(token) > length) throw fail(`no list index ${JSON.stringify(token)}`);
  return Number(token);
}

function renderPointer(path: readonly string[]): string {
  return path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
