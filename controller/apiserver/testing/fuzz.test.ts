import { afterAll, beforeAll } from 'vitest';
import { ContractApi } from './contract/contract-target.ts';
import { createInMemoryTarget } from './contract/in-memory-target.ts';
import { describeFuzz } from './fuzz/describe-fuzz.ts';

let api: ContractApi;

beforeAll(() => {
  api = new ContractApi(createInMemoryTarget());
});
afterAll(() => api.target.close());

describeFuzz({ api: () => api, isRemote: false });
