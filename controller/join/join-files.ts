import type { ApiComponent, Component } from '../components/components.ts';
import type { ControllerConfig } from '../config.ts';

const CA = ['pki/ca.crt', 'pki/ca.key'] as const;
const pairOf = (component: ApiComponent): readonly string[] => [`pki/${component}.crt`, `pki/${component}.key`];

/** Files of the data directory that several API servers over one store must share. */
const SHARED_BY_API_SERVERS: readonly string[] = [
  ...CA,
  'pki/front-proxy-ca.crt',
  'pki/front-proxy-ca.key',
  'pki/sa.key',
];

/** The same, where they are there at all. */
export const OPTIONAL_FILES: readonly string[] = ['seal/keys.json'];

/** Components with a certificate of their own, when they work over the API of another process. */
export type CertifiedComponent = Exclude<ApiComponent, 'cloud-controller-manager'>;

/** An API server in the same process speaks for the others of it, so they need no certificates. */
export function certifiedComponents(components: ReadonlySet<Component>): readonly CertifiedComponent[] {
  if (components.has('apiserver')) return [];
  return (['scheduler', 'controller-manager'] as const).filter((component) => components.has(component));
}

/**
 * What a process with these components must have of the cluster: no more. A scheduler holds nothing but its own certificate, a controller
 * manager also the CA that it signs with, an API server everything.
 */
export function requiredFiles(components: ReadonlySet<Component>): readonly string[] {
  if (components.has('apiserver')) return SHARED_BY_API_SERVERS;
  return [
    ...(components.has('controller-manager') ? CA : ['pki/ca.crt']),
    ...certifiedComponents(components).flatMap(pairOf),
  ];
}

/** What all processes of one control plane must have configured alike. */
const SHARED_SETTINGS = [
  'serviceCidr',
  'clusterCidr',
  'nodeCidrMaskSize',
  'nodeCidrMaskSizeIpv6',
  'clusterDomain',
  'nodePorts',
] as const satisfies readonly (keyof ControllerConfig)[];

export type SharedSettings = Readonly<Record<(typeof SHARED_SETTINGS)[number], string | number>>;

export const sharedSettingsOf = (config: ControllerConfig): SharedSettings =>
  Object.fromEntries(SHARED_SETTINGS.map((name) => [name, config[name]])) as SharedSettings;

/** What differs, in words; undefined when nothing does. */
export function settingsProblem(own: SharedSettings, theirs: SharedSettings): string | undefined {
  // One that a server of an earlier version does not tell has its default there.
  const told = SHARED_SETTINGS.filter((name) => theirs[name] !== undefined);
  const different = told.filter((name) => String(own[name]) !== String(theirs[name]));
  if (different.length === 0) return undefined;
  return different.map((name) => `${name} is ${own[name]} here and ${theirs[name]} in the cluster`).join('; ');
}
