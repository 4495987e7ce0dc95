import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import { ProtobufError, ProtobufReader } from './protobuf-reader.ts';
import { BYTES, ProtobufWriter } from './protobuf-writer.ts';

/*
 * Messages and services as a compiled .proto describes them (scripts/update-protos.ts), encoded and decoded by walking the description. The
 * libraries for it write and compile code for each message, and bring a parser: 7 to 11 MB of an agent's resident memory.
 */

/** A part of a descriptor: a package, a message, an enumeration or a service. */
interface Part {
  readonly nested?: Readonly<Record<string, Part>>;
  readonly fields?: Readonly<Record<string, DescribedField>>;
  readonly oneofs?: Readonly<Record<string, { readonly oneof: readonly string[] }>>;
  readonly values?: Readonly<Record<string, number>>;
  readonly methods?: Readonly<Record<string, DescribedMethod>>;
}

interface DescribedField {
  readonly type: string;
  readonly id: number;
  readonly rule?: string;
  /** There for a map. */
  readonly keyType?: string;
}

interface DescribedMethod {
  readonly requestType: string;
  readonly responseType: string;
  readonly requestStream?: boolean;
  readonly responseStream?: boolean;
}

/**
 * Names are those of the .proto. Decoded: enumerations are names (a number where it has none), 64-bit integers the nearest double, absent
 * fields zero, empty or null, those of a oneof undefined. Encoded: what is null or undefined is left out, and an unknown name is an error.
 */
export interface MessageCodec {
  encode(message: object): Buffer;
  /** Throws ProtobufError. */
  decode(bytes: Uint8Array): object;
}

export interface Protocol {
  /** By full name, `runtime.v1.RuntimeService`. Throws for one that is not described; so do the others. */
  service(name: string): ServiceDefinition;
  message(name: string): MessageCodec;
}

/** Nothing is looked at before it is asked for. */
export function readDescriptor(descriptor: object): Protocol {
  const root = descriptor as Part;
  const codecs = new Map<string, DescribedMessage>();
  const find: Find = (name, scope) => {
    const found = findPart(root, name, scope);
    if (found === undefined) throw new Error(`the protocol descriptor has no ${name}`);
    return found;
  };
  const message = (name: string, scope = ''): DescribedMessage => {
    const { path, part } = find(name, scope);
    const known = codecs.get(path) ?? new DescribedMessage(part, path, { find, message });
    codecs.set(path, known);
    return known;
  };
  return {
    message,
    service(name) {
      const { path, part } = find(name, '');
      const methods = Object.entries(part.methods ?? {});
      return Object.fromEntries(methods.map(([key, method]) => [key, methodOf(path, key, { method, message })]));
    },
  };
}

interface Found {
  /** Full name. */
  readonly path: string;
  readonly part: Part;
}

type Find = (name: string, scope: string) => Found;

/** Names are looked for from the innermost scope outwards. */
function findPart(root: Part, name: string, scope: string): Found | undefined {
  const path = scope === '' ? name : `${scope}.${name}`;
  let part: Part | undefined = root;
  for (const word of path.split('.')) part = part?.nested?.[word];
  if (part !== undefined) return { path, part };
  return scope === '' ? undefined : findPart(root, name, scope.slice(0, Math.max(0, scope.lastIndexOf('.'))));
}

interface MethodParts {
  readonly method: DescribedMethod;
  readonly message: (name: string, scope: string) => MessageCodec;
}

function methodOf(service: string, name: string, { method, message }: MethodParts): MethodDefinition<object, object> {
  const request = message(method.requestType, service);
  const response = message(method.responseType, service);
  return {
    path: `/${service}/${name}`,
    requestStream: method.requestStream ?? false,
    responseStream: method.responseStream ?? false,
    requestSerialize: (value) => request.encode(value),
    requestDeserialize: (bytes) => request.decode(bytes),
    responseSerialize: (value) => response.encode(value),
    responseDeserialize: (bytes) => response.decode(bytes),
  };
}

/** How one value goes over the wire. */
interface ValueCodec {
  write(writer: ProtobufWriter, id: number, value: unknown): void;
  read(reader: ProtobufReader): unknown;
  /** Of a field that is not there. */
  absent(): unknown;
  /** Lists of numbers come together in one field, whatever their type. */
  readonly isNumber?: boolean;
}

interface Field {
  readonly name: string;
  readonly id: number;
  readonly value: ValueCodec;
  readonly shape: 'single' | 'list' | 'map';
  readonly isInOneof: boolean;
}

interface Lookup {
  readonly find: Find;
  readonly message: (name: string, scope: string) => DescribedMessage;
}

type Values = Record<string, unknown>;

const DATA_PROPERTY = { enumerable: true, configurable: true, writable: true } as const;

const KEY = 1;
const VALUE = 2;

class DescribedMessage implements MessageCodec, ValueCodec {
  readonly #part: Part;
  readonly #path: string;
  readonly #lookup: Lookup;
  /** By their numbers; made when they are first needed, since most messages never are. */
  #fields: Map<number, Field> | undefined;

  constructor(part: Part, path: string, lookup: Lookup) {
    this.#part = part;
    this.#path = path;
    this.#lookup = lookup;
  }

  encode(message: object): Buffer {
    const writer = new ProtobufWriter();
    this.#writeFields(writer, message as Values);
    return Buffer.from(writer.finish().buffer);
  }

  decode(bytes: Uint8Array): object {
    return this.#readFields(new ProtobufReader(bytes));
  }

  write(writer: ProtobufWriter, id: number, value: unknown): void {
    const { mark } = writer;
    this.#writeFields(writer, value as Values);
    writer.closeMessage(id, mark);
  }

  read(reader: ProtobufReader): object {
    return this.#readFields(reader.message());
  }

  absent(): null {
    return null;
  }

  /** Backwards, as the writer has it. */
  #writeFields(writer: ProtobufWriter, message: Values): void {
    for (const field of [...this.#table().values()].reverse()) {
      const value = message[field.name];
      if (value === undefined || value === null) continue;
      if (field.shape === 'single') field.value.write(writer, field.id, value);
      else if (field.shape === 'map') writeMap(writer, field, value as Values);
      else for (const one of (value as readonly unknown[]).toReversed()) field.value.write(writer, field.id, one);
    }
  }

  #readFields(reader: ProtobufReader): object {
    const table = this.#table();
    const message: Values = {};
    for (const { name, shape, value, isInOneof } of table.values()) {
      if (shape !== 'single') message[name] = shape === 'list' ? [] : {};
      else if (!isInOneof) message[name] = value.absent();
    }
    while (reader.next()) {
      const field = table.get(reader.field);
      if (field === undefined) reader.skip();
      else if (field.shape === 'single') message[field.name] = field.value.read(reader);
      else if (field.shape === 'list') readIntoList(reader, field, message[field.name] as unknown[]);
      else readIntoMap(reader.message(), field, message[field.name] as Values);
    }
    return message;
  }

  #table(): Map<number, Field> {
    this.#fields ??= this.#readTable();
    return this.#fields;
  }

  #readTable(): Map<number, Field> {
    const { fields = {}, oneofs = {} } = this.#part;
    const inOneof = new Set(Object.values(oneofs).flatMap(({ oneof }) => oneof));
    const table = Object.entries(fields).map(([name, { id, type, rule, keyType }]): [number, Field] => {
      if (keyType !== undefined && keyType !== 'string') throw new Error(`keys of type ${keyType} are not supported`);
      const shape = keyType !== undefined ? 'map' : rule === 'repeated' ? 'list' : 'single';
      return [id, { name, id, shape, value: this.#valueOf(type), isInOneof: inOneof.has(name) }];
    });
    return new Map(table.sort(([one], [other]) => one - other));
  }

  #valueOf(type: string): ValueCodec {
    const scalar = SCALARS[type];
    if (scalar !== undefined) return scalar;
    const { part } = this.#lookup.find(type, this.#path);
    return part.values === undefined ? this.#lookup.message(type, this.#path) : enumeration(type, part.values);
  }
}

function writeMap(writer: ProtobufWriter, { id, value }: Field, entries: Values): void {
  for (const [key, one] of Object.entries(entries).reverse()) {
    const { mark } = writer;
    value.write(writer, VALUE, one);
    writer.text(KEY, key);
    writer.closeMessage(id, mark);
  }
}

function readIntoMap(reader: ProtobufReader, { value }: Field, entries: Values): void {
  let key = '';
  let one = value.absent();
  while (reader.next()) {
    if (reader.field === KEY) key = readText(reader);
    else if (reader.field === VALUE) one = value.read(reader);
    else reader.skip();
  }
  // That would be no entry if it were assigned, and defining each takes several times as long.
  if (key === '__proto__') Object.defineProperty(entries, key, { ...DATA_PROPERTY, value: one });
  else entries[key] = one;
}

/** Who reads a list of numbers takes them one by one as well, so that is how we write them. */
function readIntoList(reader: ProtobufReader, { value }: Field, list: unknown[]): void {
  if (value.isNumber && reader.wireType === BYTES) {
    const numbers = reader.message();
    list.push(...numbers.packed(() => value.read(numbers)));
  } else list.push(value.read(reader));
}

/** A peer that does not keep to UTF-8 in one label must not hide all its containers. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
const readText = (reader: ProtobufReader): string => utf8.decode(reader.bytes());

const SIGNED: ValueCodec = {
  write: (writer, id, value) => writer.integer(id, Math.trunc(Number(value))),
  read: (reader) => reader.nearestSigned(),
  absent: () => 0,
  isNumber: true,
};
const UNSIGNED: ValueCodec = { ...SIGNED, read: (reader) => reader.nearestUnsigned() };

const SCALARS: Readonly<Record<string, ValueCodec>> = {
  string: {
    write: (writer, id, value) => writer.text(id, String(value)),
    read: readText,
    absent: () => '',
  },
  bytes: {
    write: (writer, id, value) => writer.bytes(id, value as Uint8Array),
    // A copy: what was received would be held by a few bytes of it.
    read: (reader) => Buffer.from(reader.bytes()),
    absent: () => Buffer.alloc(0),
  },
  bool: {
    write: (writer, id, value) => writer.integer(id, value ? 1 : 0),
    read: (reader) => reader.nearestUnsigned() !== 0,
    absent: () => false,
    isNumber: true,
  },
  int32: SIGNED,
  int64: SIGNED,
  uint32: UNSIGNED,
  uint64: UNSIGNED,
};

function enumeration(type: string, values: Readonly<Record<string, number>>): ValueCodec {
  const names = new Map(Object.entries(values).map(([name, number]) => [number, name]));
  const named = (number: number) => names.get(number) ?? number;
  return {
    write(writer, id, value) {
      const number = typeof value === 'number' ? value : values[String(value)];
      if (number === undefined) throw new ProtobufError(`${type} has no value ${String(value)}`);
      writer.integer(id, number);
    },
    read: (reader) => named(reader.nearestSigned()),
    absent: () => named(0),
    isNumber: true,
  };
}
