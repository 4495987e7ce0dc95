import { describeApply } from './apply-contract.ts';
import type { ContractSuite } from './contract-target.ts';
import { describeCreate } from './create-contract.ts';
import { describeDelete } from './delete-contract.ts';
import { describeDiscovery } from './discovery-contract.ts';
import { describeList } from './list-contract.ts';
import { describePatch } from './patch-contract.ts';
import { describeUpdate } from './update-contract.ts';
import { describeWatch } from './watch-contract.ts';

/** The rules of the API that clients rely on, each as a named test. */
export function describeContract(suite: ContractSuite): void {
  describeCreate(suite);
  describeUpdate(suite);
  describeDelete(suite);
  describePatch(suite);
  describeApply(suite);
  describeList(suite);
  describeWatch(suite);
  describeDiscovery(suite);
}
