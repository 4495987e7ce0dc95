import type { Executor } from './host.ts';

/** What the machine is made of; for `coracle doctor` and node labels, never for anything periodic. */
export interface Inventory {
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  /** Of a Raspberry Pi: its type and revision code. */
  readonly raspberry: { readonly type: string; readonly revision: string } | undefined;
  readonly cpu: { readonly brand: string; readonly speedGHz: number };
  readonly disks: readonly { readonly name: string; readonly type: string; readonly sizeBytes: number }[];
}

interface SystemAnswer {
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly raspberry?: { readonly type?: string; readonly revision?: string };
}

/** Runs in a process of its own: these calls block for up to a second, and their library's memory would stay with the agent for ever. */
const SCRIPT = `
const { createRequire } = await import('node:module');
const si = createRequire(process.argv[1])('systeminformation');
const [system, cpu, disks] = await Promise.all([si.system(), si.cpu(), si.diskLayout()]);
process.stdout.write(JSON.stringify({ system, cpu, disks }));
`;

const INVENTORY_TIMEOUT_MS = 30_000;

/**
 * `nodeProgram` runs a plain Node (not a single executable), `resolveFrom` is a file beside whose node_modules systeminformation lies. Throws
 * ExecError where that is not installed.
 */
export async function readInventory(
  exec: Executor,
  { nodeProgram, resolveFrom }: { readonly nodeProgram: string; readonly resolveFrom: string },
): Promise<Inventory> {
  const { stdout } = await exec.run([nodeProgram, '--input-type=module', '--eval', SCRIPT, resolveFrom], {
    timeoutMs: INVENTORY_TIMEOUT_MS,
  });
  const { system, cpu, disks } = JSON.parse(stdout) as {
    system: SystemAnswer;
    cpu: { brand: string; speed: number };
    disks: { name: string; type: string; size: number }[];
  };
  const { manufacturer, model, serial, raspberry } = system;
  return {
    manufacturer,
    model,
    serial,
    raspberry: raspberry?.type === undefined ? undefined : { type: raspberry.type, revision: raspberry.revision ?? '' },
    cpu: { brand: cpu.brand, speedGHz: cpu.speed },
    disks: disks.map(({ name, type, size }) => ({ name, type, sizeBytes: size })),
  };
}
