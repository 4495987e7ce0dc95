/** What the node service of a driver says that it can do. */
export type CsiCapability =
  | 'STAGE_UNSTAGE_VOLUME'
  | 'GET_VOLUME_STATS'
  | 'EXPAND_VOLUME'
  | 'VOLUME_CONDITION'
  | 'SINGLE_NODE_MULTI_WRITER'
  | 'VOLUME_MOUNT_GROUP';

export type CsiAccessMode =
  | 'SINGLE_NODE_WRITER'
  | 'SINGLE_NODE_READER_ONLY'
  | 'MULTI_NODE_READER_ONLY'
  | 'MULTI_NODE_SINGLE_WRITER'
  | 'MULTI_NODE_MULTI_WRITER'
  | 'SINGLE_NODE_SINGLE_WRITER'
  | 'SINGLE_NODE_MULTI_WRITER';

type Texts = Readonly<Record<string, string>>;

/** How a volume is used. Fields are named as on the wire. */
export interface VolumeCapability {
  readonly block?: Readonly<Record<string, never>>;
  readonly mount?: {
    readonly fs_type: string;
    readonly mount_flags: readonly string[];
    readonly volume_mount_group?: string;
  };
  readonly access_mode: { readonly mode: CsiAccessMode };
}

export interface StageRequest {
  readonly volume_id: string;
  readonly publish_context: Texts;
  readonly staging_target_path: string;
  readonly volume_capability: VolumeCapability;
  readonly secrets: Texts;
  readonly volume_context: Texts;
}

export interface PublishRequest extends StageRequest {
  readonly target_path: string;
  readonly readonly: boolean;
}

export interface ExpandRequest {
  readonly volume_id: string;
  readonly volume_path: string;
  readonly capacity_range: { readonly required_bytes: number };
  readonly staging_target_path: string;
  readonly volume_capability: VolumeCapability;
  readonly secrets: Texts;
}

export interface StatsRequest {
  readonly volume_id: string;
  readonly volume_path: string;
  readonly staging_target_path: string;
}

/** Of one kind of thing that a volume has; bytes, or inodes. */
export interface CsiUsage {
  readonly unit: 'BYTES' | 'INODES';
  readonly available: number;
  readonly total: number;
  readonly used: number;
}

/** What a driver knows this node by. */
export interface CsiNodeInfo {
  readonly nodeId: string;
  /** Of volumes of this driver; 0 = no limit. */
  readonly maxVolumes: number;
  readonly topology: Texts;
}

/** The node service of one driver. Calls throw what the driver answers. */
export interface CsiDriver {
  readonly name: string;
  readonly node: CsiNodeInfo;
  readonly capabilities: ReadonlySet<CsiCapability>;
  stage(request: StageRequest): Promise<void>;
  unstage(request: { readonly volume_id: string; readonly staging_target_path: string }): Promise<void>;
  publish(request: PublishRequest): Promise<void>;
  unpublish(request: { readonly volume_id: string; readonly target_path: string }): Promise<void>;
  stats(request: StatsRequest): Promise<readonly CsiUsage[]>;
  /** Bytes that the volume has now; 0 when the driver does not say. */
  expand(request: ExpandRequest): Promise<number>;
}

/** The drivers that have registered on this node. */
export interface CsiDrivers {
  find(name: string): CsiDriver | undefined;
  list(): readonly CsiDriver[];
  /** Called after each driver that comes or goes. */
  onChange(listener: () => void): void;
}

export const NO_DRIVERS: CsiDrivers = { find: () => undefined, list: () => [], onChange: () => undefined };
