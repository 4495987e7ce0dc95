import type { Executor } from '../host/host.ts';

/** Whether nftables has all of these tables, as in `ip kube-proxy`. Not a program is run for none. */
export async function hasTables(exec: Executor, tables: readonly string[]): Promise<boolean> {
  if (tables.length === 0) return true;
  const { stdout } = await exec.run(['nft', 'list', 'tables']);
  const standing = new Set(stdout.split('\n'));
  return tables.every((table) => standing.has(`table ${table}`));
}
