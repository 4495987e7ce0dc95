import { expect, it } from 'vitest';
import type { Pod } from '#api/object/kinds.ts';
import { trimPod } from './trim-pod.ts';

it('keeps of a pod what decisions need, and nothing of how its containers run', () => {
  const container = { name: 'c', image: 'i', ports: [{ containerPort: 80 }], resources: { requests: { cpu: '1' } } };
  const sidecar = { name: 's', restartPolicy: 'Always' };
  const claim = { name: 'data', persistentVolumeClaim: { claimName: 'x' } };
  const scratch = { name: 'scratch', ephemeral: { volumeClaimTemplate: { spec: {} } } };
  const rest = { nodeName: 'n', tolerations: [{ key: 'k' }] };
  const metadata = { name: 'p', namespace: 'a', uid: 'u', labels: { app: 'x' } };
  const status = { phase: 'Running' };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, managedFields: [{ manager: 'm' }] },
    spec: {
      ...rest,
      containers: [{ ...container, env: [{ name: 'A', value: 'b' }], command: ['sh'], livenessProbe: {} }],
      initContainers: [{ ...sidecar, volumeMounts: [{ name: 'data', mountPath: '/' }] }],
      volumes: [{ name: 'token', projected: { sources: [] } }, claim, scratch],
    },
    status,
  } as unknown as Pod;
  expect(trimPod(pod)).toEqual({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: { ...rest, containers: [container], initContainers: [sidecar], volumes: [claim, scratch] },
    status,
  });
});
