import { afterAll, beforeAll } from 'vitest';
import { ContractApi } from './contract/contract-target.ts';
import { describeContract } from './contract/describe-contract.ts';
import { createInMemoryTarget } from './contract/in-memory-target.ts';

let api: ContractApi;
beforeAll(() => {
  api = new ContractApi(createInMemoryTarget());
});
afterAll(() => api.target.close());

describeContract({ api: () => api, isRemote: false });
