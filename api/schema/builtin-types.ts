import type { GroupVersionKind } from '../object/group-version.ts';
import data from './builtin-types.json' with { type: 'json' };
import type { FieldDef, OmitRule, PatchStrategy, TypeDef, TypeTable, ValueKind } from './type-table.ts';

/**
 * The table of Kubernetes 1.36's own types, compiled by scripts/update-schema.ts into builtin-types.json and unpacked type by type
 * when first asked for: a component that handles six kinds never pays for the other six hundred types.
 *
 * A type is one line: `+` (has a protobuf message) or `-`, then fields in canonical order separated by `;`, each
 * `name number [*list | %map]kind flags...`. Kind is a letter of KINDS or the index of a message type (`j12`: any JSON, in
 * protobuf the message 12). Flags: n/v omit rule nil/never, r required, S/A/M<keys> list type, a/g map type, p<strategies>, k<merge key>,
 * =<default as JSON>. `@number index` is an embedded struct. `!` is a JSON union without fields.
 */
const KINDS: Readonly<Record<string, ValueKind>> = {
  s: 'string',
  b: 'bool',
  i: 'int32',
  l: 'int64',
  d: 'double',
  y: 'bytes',
  q: 'quantity',
  t: 'time',
  u: 'microTime',
  D: 'duration',
  x: 'intOrString',
  j: 'json',
  L: 'stringList',
};

const NO_STRINGS: readonly string[] = [];
const NO_STRATEGIES: readonly PatchStrategy[] = [];
/** Kinds registered in every API group, found by kind alone. */
const ANY_GROUP = new Set([
  'CreateOptions',
  'DeleteOptions',
  'GetOptions',
  'ListOptions',
  'PatchOptions',
  'UpdateOptions',
  'Status',
  'WatchEvent',
]);

class BuiltinField implements FieldDef {
  readonly name: string;
  readonly number: number;
  readonly kind: ValueKind;
  readonly cardinality: 'one' | 'list' | 'map';
  omit: OmitRule = 'zero';
  required = false;
  default: unknown = undefined;
  readonly enum: undefined = undefined;
  listType: 'atomic' | 'set' | 'map' | undefined = undefined;
  listMapKeys = NO_STRINGS;
  mapType: 'atomic' | 'granular' | undefined = undefined;
  patchStrategies = NO_STRATEGIES;
  patchMergeKey: string | undefined = undefined;
  readonly #table: BuiltinTable;
  readonly #typeIndex: number;
  #type: TypeDef | undefined;

  constructor(table: BuiltinTable, name: string, number: number, code: string) {
    this.#table = table;
    this.name = name;
    this.number = number;
    this.cardinality = code.startsWith('*') ? 'list' : code.startsWith('%') ? 'map' : 'one';
    const kind = this.cardinality === 'one' ? code : code.slice(1);
    this.kind = KINDS[kind[0]!] ?? 'message';
    this.#typeIndex = this.kind === 'message' ? Number(kind) : kind.length > 1 ? Number(kind.slice(1)) : -1;
  }

  get type(): TypeDef | undefined {
    if (this.#type === undefined && this.#typeIndex >= 0) this.#type = this.#table.at(this.#typeIndex);
    return this.#type;
  }
}

class BuiltinType implements TypeDef {
  readonly name: string;
  readonly fields: ReadonlyMap<string, FieldDef>;
  readonly protoName: string | undefined;
  readonly preserveUnknown: boolean;
  readonly gvks: readonly GroupVersionKind[];
  readonly #table: BuiltinTable;
  readonly #embeddedIndexes: readonly (readonly [number, number])[];
  #byNumber: ReadonlyMap<number, FieldDef> | undefined;
  #embedded: ReadonlyMap<number, TypeDef> | undefined;

  constructor(table: BuiltinTable, name: string, line: string, gvks: readonly GroupVersionKind[]) {
    this.#table = table;
    this.name = name;
    this.gvks = gvks;
    this.preserveUnknown = false;
    this.protoName = line.startsWith('-') ? undefined : name.replace(/^io\.k8s\./, 'k8s.io.').replaceAll('-', '_');
    const fields = new Map<string, FieldDef>();
    const embedded: [number, number][] = [];
    for (const part of line.length < 2 ? [] : line.slice(1).split(';')) {
      if (part.startsWith('@')) {
        const [number, index] = part.slice(1).split(' ');
        embedded.push([Number(number), Number(index)]);
      } else {
        const field = parseField(table, part);
        fields.set(field.name, field);
      }
    }
    this.fields = fields;
    this.#embeddedIndexes = embedded;
  }

  get byNumber(): ReadonlyMap<number, FieldDef> {
    this.#byNumber ??= new Map(
      [...this.fields.values()].filter((field) => field.number > 0).map((field) => [field.number, field]),
    );
    return this.#byNumber;
  }

  get embedded(): ReadonlyMap<number, TypeDef> | undefined {
    if (this.#embeddedIndexes.length === 0) return undefined;
    this.#embedded ??= new Map(this.#embeddedIndexes.map(([number, index]) => [number, this.#table.at(index)]));
    return this.#embedded;
  }
}

function parseField(table: BuiltinTable, text: string): FieldDef {
  const [name, number, code, ...flags] = text.split(' ') as [string, string, string, ...string[]];
  const field = new BuiltinField(table, name, Number(number), code);
  for (const flag of flags) applyFlag(field, flag[0]!, flag.slice(1));
  return field;
}

function applyFlag(field: BuiltinField, letter: string, rest: string): void {
  switch (letter) {
    case 'n':
      field.omit = 'nil';
      break;
    case 'v':
      field.omit = 'never';
      break;
    case 'r':
      field.required = true;
      break;
    case 'S':
      field.listType = 'set';
      break;
    case 'A':
      field.listType = 'atomic';
      break;
    case 'M':
      field.listType = 'map';
      field.listMapKeys = rest.split('+');
      break;
    case 'a':
      field.mapType = 'atomic';
      break;
    case 'g':
      field.mapType = 'granular';
      break;
    case 'p':
      field.patchStrategies = rest.split(',') as PatchStrategy[];
      break;
    case 'k':
      field.patchMergeKey = rest;
      break;
    case '=':
      field.default = JSON.parse(rest);
      break;
    default:
      throw new Error(`builtin-types.json: unknown flag ${letter}${rest} of field ${field.name}`);
  }
}

const kindKey = (gvk: GroupVersionKind) => `${gvk.group}/${gvk.version}/${gvk.kind}`;

class BuiltinTable implements TypeTable {
  readonly #types: (TypeDef | undefined)[] = [];
  readonly #byGvk = new Map<string, number>();
  readonly #gvks = new Map<number, GroupVersionKind[]>();
  #byName: Map<string, number> | undefined;

  constructor() {
    for (const [group, version, kind, index] of data.kinds as [string, string, string, number][]) {
      this.#byGvk.set(kindKey({ group, version, kind }), index);
      const gvks = this.#gvks.get(index);
      if (gvks === undefined) this.#gvks.set(index, [{ group, version, kind }]);
      else gvks.push({ group, version, kind });
    }
  }

  at(index: number): TypeDef {
    let type = this.#types[index];
    if (type === undefined) {
      type = new BuiltinType(this, data.names[index]!, data.types[index]!, this.#gvks.get(index) ?? []);
      this.#types[index] = type;
    }
    return type;
  }

  typeOf(gvk: GroupVersionKind): TypeDef | undefined {
    const own = this.#byGvk.get(kindKey(gvk));
    if (own !== undefined) return this.at(own);
    if (!ANY_GROUP.has(gvk.kind)) return undefined;
    const shared = this.#byGvk.get(kindKey({ group: '', version: 'v1', kind: gvk.kind }));
    return shared === undefined ? undefined : this.at(shared);
  }

  byName(name: string): TypeDef | undefined {
    this.#byName ??= new Map(data.names.map((known, index) => [known, index]));
    const index = this.#byName.get(name);
    return index === undefined ? undefined : this.at(index);
  }
}

let table: TypeTable | undefined;

/** The one table of this process; immutable, so that sharing it needs no injection. Unpacks each type when first asked for it. */
export function builtinTypes(): TypeTable {
  table ??= new BuiltinTable();
  return table;
}
