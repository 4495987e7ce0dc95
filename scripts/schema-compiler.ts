import { alwaysWritten, atomicStructs, pointerScalars, valueStructs } from '../api/schema/pointer-fields.ts';

/** One property as the reference schema lists it. */
interface SchemaProperty {
  readonly type?: string;
  readonly format?: string;
  readonly $ref?: string;
  readonly items?: SchemaProperty;
  readonly additionalProperties?: SchemaProperty;
  readonly default?: unknown;
  readonly 'x-kubernetes-list-type'?: string;
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: string;
  readonly 'x-kubernetes-patch-strategy'?: string;
  readonly 'x-kubernetes-patch-merge-key'?: string;
}

interface SchemaType {
  readonly properties?: Readonly<Record<string, SchemaProperty>>;
  readonly required?: readonly string[];
  readonly 'x-kubernetes-group-version-kind'?: readonly { group: string; version: string; kind: string }[];
}

interface ProtoField {
  readonly repeated: boolean;
  readonly type: string;
  readonly number: number;
}

/** Message name -> field name -> field. */
type ProtoMessages = ReadonlyMap<string, ReadonlyMap<string, ProtoField>>;

/** The checked-in data; api/schema/builtin-types.ts explains the encoding of `types`. */
export interface CompiledSchema {
  /** Type names; the index is how fields refer to a type. */
  readonly names: readonly string[];
  /** One line per type, in the order of `names`. */
  readonly types: readonly string[];
  /** [group, version, kind, type index]. */
  readonly kinds: readonly (readonly [string, string, string, number])[];
}

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1.';
const SCALAR_REFS: Readonly<Record<string, string>> = {
  'io.k8s.apimachinery.pkg.api.resource.Quantity': 'q',
  [`${META}Time`]: 't',
  [`${META}MicroTime`]: 'u',
  [`${META}Duration`]: 'D',
  'io.k8s.apimachinery.pkg.util.intstr.IntOrString': 'x',
  'io.k8s.apimachinery.pkg.runtime.RawExtension': 'j',
  [`${META}FieldsV1`]: 'j',
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON': 'j',
};
/** JSON unions of CRD schemas: any JSON to us, but each with a protobuf message of its own. */
const JSON_UNION = /\.JSONSchemaPropsOr(Array|Bool|StringArray)$/;
/** Messages the codec itself knows, or that never travel. */
const CODEC_MESSAGES =
  /\.(QuantityValue|Timestamp|TypeMeta|Unknown|Verbs|ExtraValue|Time|MicroTime|Duration|Quantity|IntOrString|RawExtension|FieldsV1|JSON|Patch|ApplyOptions|RootPaths|AvoidPods|PodSignature|PreferAvoidPodsEntry)$/;
/** Alpha and beta versions are off by default in Kubernetes, and not served here. */
const UNSTABLE = /\.v\d+(alpha|beta)\d+\./;
/** Kinds without a schema of their own: options, reviews and envelopes. */
const PROTO_ONLY_KINDS: Readonly<Record<string, readonly [string, string]>> = {
  'io.k8s.api.admission.v1.AdmissionReview': ['admission.k8s.io', 'v1'],
  'io.k8s.api.apidiscovery.v2.APIGroupDiscovery': ['apidiscovery.k8s.io', 'v2'],
  'io.k8s.api.apidiscovery.v2.APIGroupDiscoveryList': ['apidiscovery.k8s.io', 'v2'],
  'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.ConversionReview': ['apiextensions.k8s.io', 'v1'],
  [`${META}PartialObjectMetadata`]: ['meta.k8s.io', 'v1'],
  [`${META}PartialObjectMetadataList`]: ['meta.k8s.io', 'v1'],
};
const CORE_ONLY_KINDS =
  /\.(NodeProxyOptions|PodAttachOptions|PodExecOptions|PodLogOptions|PodPortForwardOptions|PodProxyOptions|PodStatusResult|RangeAllocation|SerializedReference|ServiceProxyOptions|CreateOptions|GetOptions|ListOptions|PatchOptions|UpdateOptions|TableOptions)$/;

/** Compiles the reference facts; pure. `unmatched` names every fact that found no partner, for a person to judge. */
export function compileSchema(
  schemaJson: string,
  protoTsv: string,
): { compiled: CompiledSchema; unmatched: readonly string[] } {
  const schema = (JSON.parse(schemaJson) as { types: Record<string, SchemaType> }).types;
  const proto = parseProto(protoTsv);
  const compiler = new SchemaCompiler(schema, proto);
  return compiler.compile();
}

function parseProto(tsv: string): ProtoMessages {
  const messages = new Map<string, Map<string, ProtoField>>();
  for (const line of tsv.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const [pkg, message, label, type, field, number] = line.split('\t') as [
      string,
      string,
      string,
      string,
      string,
      string,
    ];
    const name = `${pkg}.${message}`;
    const fields = messages.get(name) ?? new Map<string, ProtoField>();
    messages.set(name, fields.set(field, { repeated: label === 'repeated', type, number: Number(number) }));
  }
  return messages;
}

const toProtoName = (name: string) => name.replace(/^io\.k8s\./, 'k8s.io.').replaceAll('-', '_');
const toSchemaName = (proto: string) =>
  proto
    .replace(/^k8s\.io\./, 'io.k8s.')
    .replace('apiextensions_apiserver', 'apiextensions-apiserver')
    .replace('kube_aggregator', 'kube-aggregator');
const plain = (name: string) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
const shortName = (name: string) => name.slice(name.lastIndexOf('.') + 1);
const groupName = (name: string) => name.split('.').at(-3) ?? '';
const words = (table: Readonly<Record<string, string>>, name: string): readonly string[] =>
  (table[`${groupName(name)}.${shortName(name)}`] ?? table[shortName(name)] ?? '').split(' ');

class SchemaCompiler {
  readonly #schema: Record<string, SchemaType>;
  readonly #proto: ProtoMessages;
  readonly #names: string[] = [];
  readonly #index = new Map<string, number>();
  readonly #unmatched: string[] = [];

  constructor(schema: Record<string, SchemaType>, proto: ProtoMessages) {
    this.#schema = schema;
    this.#proto = proto;
  }

  compile(): { compiled: CompiledSchema; unmatched: readonly string[] } {
    const isOurs = (name: string) =>
      !UNSTABLE.test(name) && SCALAR_REFS[name] === undefined && !CODEC_MESSAGES.test(name);
    const names = new Set(Object.keys(this.#schema).filter(isOurs));
    for (const message of this.#proto.keys()) {
      const name = toSchemaName(message);
      if (isOurs(name)) names.add(name);
    }
    this.#names.push(...[...names].sort());
    for (const [index, name] of this.#names.entries()) this.#index.set(name, index);
    const types = this.#names.map((name) => this.#compileType(name));
    return { compiled: { names: this.#names, types, kinds: this.#kinds() }, unmatched: this.#unmatched };
  }

  #kinds(): CompiledSchema['kinds'] {
    const kinds: [string, string, string, number][] = [];
    for (const [index, name] of this.#names.entries()) {
      for (const gvk of this.#schema[name]?.['x-kubernetes-group-version-kind'] ?? []) {
        // DeleteOptions and the like are registered in every group: builtin-types.ts finds them by kind alone.
        if (name.startsWith(META) && gvk.group !== '' && gvk.group !== 'meta.k8s.io') continue;
        kinds.push([gvk.group, gvk.version, gvk.kind, index]);
      }
      const own = PROTO_ONLY_KINDS[name] ?? (CORE_ONLY_KINDS.test(name) ? (['', 'v1'] as const) : undefined);
      if (own !== undefined) kinds.push([own[0], own[1], shortName(name), index]);
    }
    return kinds;
  }

  #compileType(name: string): string {
    const messageFields = this.#proto.get(toProtoName(name));
    const type = this.#schema[name];
    const parts: string[] = [];
    if (JSON_UNION.test(name)) return '!';
    const properties = type?.properties ?? this.#propertiesOfMessage(name, messageFields);
    const byPlainName = new Map([...(messageFields ?? [])].map(([field, fact]) => [plain(field), fact]));
    for (const property of orderedNames(Object.keys(properties))) {
      const fact = byPlainName.get(plain(property.replace(/^\$/, '')));
      byPlainName.delete(plain(property.replace(/^\$/, '')));
      parts.push(this.#compileField(name, property, properties[property]!, fact?.number ?? 0));
    }
    for (const fact of byPlainName.values()) {
      const target = this.#index.get(this.#resolve(name, fact.type));
      if (target === undefined) this.#unmatched.push(`${name}: protobuf field ${fact.number} of type ${fact.type}`);
      else parts.push(`@${fact.number} ${target}`);
    }
    return `${messageFields === undefined ? '-' : '+'}${parts.join(';')}`;
  }

  /** A proto type name as written inside the package of `owner`. */
  #resolve(owner: string, type: string): string {
    return toSchemaName(
      type.startsWith('.') ? type.slice(1) : `${toProtoName(owner).split('.').slice(0, -1).join('.')}.${type}`,
    );
  }

  /** Properties of a type that has a protobuf message but no schema. */
  #propertiesOfMessage(
    name: string,
    fields: ReadonlyMap<string, ProtoField> | undefined,
  ): Record<string, SchemaProperty> {
    const properties: Record<string, SchemaProperty> = {};
    if (PROTO_ONLY_KINDS[name] !== undefined || CORE_ONLY_KINDS.test(name)) {
      properties.apiVersion = { type: 'string' };
      properties.kind = { type: 'string' };
    }
    for (const [field, fact] of fields ?? []) {
      const map = /^map<string,(.+)>$/.exec(fact.type);
      const value = this.#propertyOfProtoType(name, map?.[1] ?? fact.type);
      properties[field] =
        map !== null
          ? { type: 'object', additionalProperties: value }
          : fact.repeated
            ? { type: 'array', items: value }
            : value;
    }
    return properties;
  }

  #propertyOfProtoType(owner: string, type: string): SchemaProperty {
    switch (type) {
      case 'string':
        return { type: 'string' };
      case 'bool':
        return { type: 'boolean' };
      case 'int32':
      case 'int64':
        return { type: 'integer', format: type };
      case 'bytes':
        return { type: 'string', format: 'byte' };
      default: {
        const target = this.#resolve(owner, type);
        if (target.endsWith('.Verbs') || target.endsWith('.ExtraValue')) return { type: 'array' };
        return { $ref: target };
      }
    }
  }

  #compileField(owner: string, name: string, property: SchemaProperty, number: number): string {
    const inner = property.items ?? property.additionalProperties ?? property;
    const cardinality = property.items !== undefined ? '*' : property.additionalProperties !== undefined ? '%' : '';
    const flags = this.#flags(owner, name, property, cardinality);
    return `${name} ${number} ${cardinality}${this.#code(owner, name, inner)}${flags === '' ? '' : ` ${flags}`}`;
  }

  #code(owner: string, name: string, p: SchemaProperty): string {
    if (p.$ref !== undefined) {
      const scalar = SCALAR_REFS[p.$ref];
      if (scalar !== undefined) return scalar;
      const index = this.#index.get(p.$ref);
      if (index === undefined) {
        this.#unmatched.push(`${owner}.${name}: no type ${p.$ref}`);
        return 'j';
      }
      return JSON_UNION.test(p.$ref) ? `j${index}` : String(index);
    }
    switch (p.type) {
      case 'string':
        return p.format === 'byte' ? 'y' : 's';
      case 'boolean':
        return 'b';
      case 'integer':
        return p.format === 'int32' ? 'i' : 'l';
      case 'number':
        return 'd';
      case 'array':
        return 'L';
      default:
        this.#unmatched.push(`${owner}.${name}: unknown schema ${JSON.stringify(p)}`);
        return 'j';
    }
  }

  #flags(owner: string, name: string, p: SchemaProperty, cardinality: string): string {
    const flags: string[] = [];
    const isRequired = this.#schema[owner]?.required?.includes(name) ?? false;
    const omit = this.#omitRule(owner, name, p, isRequired);
    if (omit !== 'zero') flags.push(omit === 'nil' ? 'n' : 'v');
    if (isRequired) flags.push('r');
    const listType = p['x-kubernetes-list-type'];
    if (listType === 'set') flags.push('S');
    if (listType === 'atomic') flags.push('A');
    if (listType === 'map') flags.push(`M${(p['x-kubernetes-list-map-keys'] ?? []).join('+')}`);
    const struct = cardinality === '' && p.$ref !== undefined && atomicStructs.has(shortName(p.$ref));
    const mapType = p['x-kubernetes-map-type'] ?? (struct ? 'atomic' : undefined);
    if (mapType !== undefined) flags.push(mapType === 'atomic' ? 'a' : 'g');
    if (p['x-kubernetes-patch-strategy'] !== undefined) flags.push(`p${p['x-kubernetes-patch-strategy']}`);
    if (p['x-kubernetes-patch-merge-key'] !== undefined) flags.push(`k${p['x-kubernetes-patch-merge-key']}`);
    if (p.default !== undefined) flags.push(`=${JSON.stringify(p.default)}`);
    return flags.join(' ');
  }

  #omitRule(owner: string, name: string, p: SchemaProperty, isRequired: boolean): 'zero' | 'nil' | 'never' {
    if (p.items !== undefined || p.additionalProperties !== undefined) return isRequired ? 'never' : 'zero';
    const scalar = p.$ref === undefined ? 'scalar' : SCALAR_REFS[p.$ref];
    if (scalar === 'scalar') {
      if (words(pointerScalars, owner).includes(name)) return 'nil';
      return isRequired || words(alwaysWritten, owner).includes(name) ? 'never' : 'zero';
    }
    const isKind = this.#schema[owner]?.['x-kubernetes-group-version-kind'] !== undefined;
    const byValue = words(valueStructs, owner).includes(name) || (isKind && words(valueStructs, '*').includes(name));
    return byValue ? 'never' : 'nil';
  }
}

/** The canonical order: apiVersion, kind, metadata first, resourceVersion (of ObjectMeta and ListMeta) before the rest, which is by name. */
function orderedNames(names: readonly string[]): string[] {
  const rank = (name: string) =>
    name === 'apiVersion' ? 0 : name === 'kind' ? 1 : name === 'metadata' ? 2 : name === 'resourceVersion' ? 3 : 4;
  return [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}
