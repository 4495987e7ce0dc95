import type { ResourceName } from '#api/object/api-error.ts';
import { groupPriority } from './group-priorities.ts';
import type { ResourceDefinition, SubresourceDefinition } from './resource-definition.ts';

export interface CatalogVersion {
  readonly version: string;
  /** By resource name. */
  readonly resources: readonly ResourceDefinition[];
}

export interface CatalogGroup {
  /** '' for the core group. */
  readonly group: string;
  /** `groupPriorityMinimum` of its APIService: higher ones come first in discovery. */
  readonly priority: number;
  /** The preferred one first. */
  readonly versions: readonly CatalogVersion[];
}

/**
 * Which kinds the server serves, by address. The built-in ones are there for good; others come and go while the server runs. Whoever
 * keeps something computed from the catalog compares `revision`.
 */
export class ResourceCatalog {
  readonly #builtin: readonly ResourceDefinition[];
  readonly #byAddress = new Map<string, ResourceDefinition>();
  /** Definitions by whoever brought them: the name of a CustomResourceDefinition. */
  readonly #custom = new Map<string, readonly ResourceDefinition[]>();
  #view: { readonly definitions: readonly ResourceDefinition[]; readonly groups: readonly CatalogGroup[] } | undefined;
  #revision = 0;

  constructor(builtin: readonly ResourceDefinition[]) {
    this.#builtin = builtin;
    for (const definition of builtin) {
      const address = addressOf(definition.group, definition.version, definition.resource);
      if (this.#byAddress.has(address)) throw new Error(`resource ${address} is defined twice`);
      this.#byAddress.set(address, definition);
    }
  }

  /** Grows with every change of what is served. */
  get revision(): number {
    return this.#revision;
  }

  get definitions(): readonly ResourceDefinition[] {
    return this.#computeView().definitions;
  }

  get groups(): readonly CatalogGroup[] {
    return this.#computeView().groups;
  }

  find(group: string, version: string, resource: string): ResourceDefinition | undefined {
    return this.#byAddress.get(addressOf(group, version, resource));
  }

  /** Serves these definitions for `owner` instead of those it had; an empty list takes them away. An address that is taken stays as it is. */
  replace(owner: string, definitions: readonly ResourceDefinition[]): void {
    for (const former of this.#custom.get(owner) ?? []) {
      const address = addressOf(former.group, former.version, former.resource);
      if (this.#byAddress.get(address) === former) this.#byAddress.delete(address);
    }
    const accepted = definitions.filter(({ group, version, resource }) => {
      return !this.#byAddress.has(addressOf(group, version, resource));
    });
    for (const definition of accepted) {
      this.#byAddress.set(addressOf(definition.group, definition.version, definition.resource), definition);
    }
    if (accepted.length === 0) this.#custom.delete(owner);
    else this.#custom.set(owner, accepted);
    this.#view = undefined;
    this.#revision++;
  }

  #computeView() {
    if (this.#view === undefined) {
      const definitions = [...this.#builtin, ...[...this.#custom.values()].flat()];
      this.#view = {
        definitions,
        groups: groupDefinitions(definitions, new Set(this.#builtin.map(({ group }) => group))),
      };
    }
    return this.#view;
  }
}

export function resourceName(definition: ResourceDefinition): ResourceName {
  return { group: definition.group, resource: definition.resource };
}

export function findSubresource(definition: ResourceDefinition, name: string): SubresourceDefinition | undefined {
  return definition.subresources.find((subresource) => subresource.name === name);
}

/** The key of an object in the store. */
export function storageKey(definition: ResourceDefinition, namespace: string, name: string): string {
  return `${storagePrefixOf(definition, namespace)}${name}`;
}

/** The prefix under which all objects of the kind lie, or those of one namespace; ends in a slash. */
export function storagePrefixOf(definition: ResourceDefinition, namespace: string): string {
  return definition.namespaced && namespace !== ''
    ? `${definition.storagePrefix}/${namespace}/`
    : `${definition.storagePrefix}/`;
}

const addressOf = (group: string, version: string, resource: string) => `${group}/${version}/${resource}`;

function groupDefinitions(definitions: readonly ResourceDefinition[], builtin: ReadonlySet<string>): CatalogGroup[] {
  const priority = (group: string) => groupPriority(group, builtin.has(group));
  const names = [...new Set(definitions.map((definition) => definition.group))];
  names.sort((a, b) => priority(b) - priority(a) || (a < b ? -1 : 1));
  return names.map((group) => {
    const members = definitions.filter((definition) => definition.group === group);
    const versions = [...new Set(members.map((definition) => definition.version))].sort(compareVersions);
    return {
      group,
      priority: priority(group),
      versions: versions.map((version) => ({
        version,
        resources: members
          .filter((definition) => definition.version === version)
          .sort((a, b) => (a.resource < b.resource ? -1 : 1)),
      })),
    };
  });
}

/** Kubernetes' order of versions, best first: v2, v1, v1beta2, v1beta1, v1alpha1, then anything else by name. */
export function compareVersions(a: string, b: string): number {
  const x = versionRank(a);
  const y = versionRank(b);
  if (x === undefined || y === undefined) {
    if (x === undefined && y === undefined) return a < b ? -1 : a > b ? 1 : 0;
    return x === undefined ? 1 : -1;
  }
  return y.stability - x.stability || y.major - x.major || y.minor - x.minor;
}

function versionRank(version: string): { stability: number; major: number; minor: number } | undefined {
  const match = /^v(\d+)(?:(alpha|beta)(\d+))?$/.exec(version);
  if (match === null) return undefined;
  const stability = match[2] === undefined ? 2 : match[2] === 'beta' ? 1 : 0;
  return { stability, major: Number(match[1]), minor: Number(match[3] ?? 0) };
}
