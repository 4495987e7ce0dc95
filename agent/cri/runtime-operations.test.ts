import { expect, it } from 'vitest';
import { RuntimeOperations } from './runtime-operations.ts';

it('counts calls under the names of Kubernetes’ metric', () => {
  const operations = new RuntimeOperations();
  const methods = ['RunPodSandbox', 'PodSandboxStatus', 'CreateContainer', 'UpdateContainerResources', 'ImageFsInfo'];
  for (const method of [...methods, 'CreateContainer']) operations.count(method);
  expect([...operations.counts()]).toEqual([
    ['run_podsandbox', 1],
    ['podsandbox_status', 1],
    ['create_container', 2],
    ['update_container', 1],
    ['image_fs_info', 1],
  ]);
});
