import { afterAll, beforeAll } from 'vitest';
import { ContractApi } from '#controller/apiserver/testing/contract/contract-target.ts';
import { describeContract } from '#controller/apiserver/testing/contract/describe-contract.ts';
import { type ControllerProcess, startControllerProcess } from '#test/kit/controller-process.ts';
import { createHttpsTarget } from '#test/kit/https-contract-target.ts';

let controller: ControllerProcess | undefined;
let api: ContractApi;

beforeAll(async () => {
  controller = await startControllerProcess({ fromSource: true, flags: [] });
  api = new ContractApi(createHttpsTarget(controller));
});
afterAll(async () => {
  await api?.target.close();
  await controller?.stop();
});

/** The same rules as in process, from a real controller over TLS. */
describeContract({ api: () => api, isRemote: true });
