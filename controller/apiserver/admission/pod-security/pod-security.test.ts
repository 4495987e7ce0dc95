import { describe, expect, it } from 'vitest';
import { evaluatePod, renderDetails } from './evaluate.ts';
import { type Level, parsePolicy } from './levels.ts';

const LATEST = Number.POSITIVE_INFINITY;

/** What every control of the restricted level asks for. */
const GOOD_CONTAINER = {
  name: 'c',
  image: 'i',
  securityContext: {
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
    runAsNonRoot: true,
    seccompProfile: { type: 'RuntimeDefault' },
  },
};

function judge(level: Level, spec: object, { minor = LATEST, annotations = {} } = {}): string {
  const pod = { annotations, spec: { containers: [GOOD_CONTAINER], ...spec } as never };
  return renderDetails(evaluatePod({ level, minor }, pod));
}

const withContext = (securityContext: object) => ({
  containers: [{ ...GOOD_CONTAINER, securityContext: { ...GOOD_CONTAINER.securityContext, ...securityContext } }],
});

describe('Pod Security Standards', () => {
  it('let a pod in that does all that is asked', () => {
    expect(judge('restricted', {})).toBe('');
    expect(judge('privileged', { hostNetwork: true })).toBe('');
  });

  it('tell in the words and order of Kubernetes what a plain pod lacks', () => {
    expect(judge('restricted', { containers: [{ name: 'nginx', image: 'nginx' }] })).toBe(
      'allowPrivilegeEscalation != false (container "nginx" must set securityContext.allowPrivilegeEscalation=false), ' +
        'unrestricted capabilities (container "nginx" must set securityContext.capabilities.drop=["ALL"]), ' +
        'runAsNonRoot != true (pod or container "nginx" must set securityContext.runAsNonRoot=true), ' +
        'seccompProfile (pod or container "nginx" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")',
    );
  });

  it.each<[string, object, string]>([
    [
      'AppArmor',
      withContext({ appArmorProfile: { type: 'Unconfined' } }),
      'forbidden AppArmor profile (container "c" must not set AppArmor profile type to "Unconfined")',
    ],
    [
      'capabilities',
      withContext({ capabilities: { add: ['SYS_ADMIN', 'CHOWN', 'NET_RAW'] } }),
      'non-default capabilities (container "c" must not include "NET_RAW", "SYS_ADMIN" in securityContext.capabilities.add)',
    ],
    ['host namespaces', { hostNetwork: true, hostPID: true }, 'host namespaces (hostNetwork=true, hostPID=true)'],
    [
      'hostPath',
      {
        volumes: [
          { name: 'root', hostPath: { path: '/' } },
          { name: 'e', emptyDir: {} },
        ],
      },
      'hostPath volumes (volume "root")',
    ],
    [
      'host ports',
      { containers: [{ ...GOOD_CONTAINER, ports: [{ containerPort: 1, hostPort: 80 }, { containerPort: 2 }] }] },
      'hostPort (container "c" uses hostPort 80)',
    ],
    [
      'hosts of probes',
      { containers: [{ ...GOOD_CONTAINER, livenessProbe: { httpGet: { host: '169.254.169.254', port: 80 } } }] },
      'probe or lifecycle host (container "c" uses probe or lifecycle host "169.254.169.254")',
    ],
    [
      'privileged',
      withContext({ privileged: true }),
      'privileged (container "c" must not set securityContext.privileged=true)',
    ],
    [
      'procMount',
      withContext({ procMount: 'Unmasked' }),
      'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
    ],
    [
      'SELinux',
      { securityContext: { seLinuxOptions: { type: 'spc_t', user: 'system_u' } } },
      'seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: type "spc_t"; user may not be set)',
    ],
    [
      'seccomp',
      withContext({ seccompProfile: { type: 'Unconfined' } }),
      'seccompProfile (container "c" must not set securityContext.seccompProfile.type to "Unconfined")',
    ],
    [
      'sysctls',
      { securityContext: { sysctls: [{ name: 'net.core.somaxconn', value: '1' }, { name: 'net.ipv4.tcp_rmem' }] } },
      'forbidden sysctls (net.core.somaxconn)',
    ],
    [
      'Windows hosts',
      { securityContext: { windowsOptions: { hostProcess: true } } },
      'hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)',
    ],
    [
      'a host namespace and two containers, one of them an init container',
      {
        hostIPC: true,
        initContainers: [{ name: 'a', securityContext: { privileged: true } }],
        containers: [{ name: 'b', securityContext: { privileged: true } }],
      },
      'host namespaces (hostIPC=true), privileged (containers "a", "b" must not set securityContext.privileged=true)',
    ],
  ])('refuse at the baseline: %s', (_, spec, expected) => {
    expect(judge('baseline', spec)).toBe(expected);
  });

  it.each<[string, object, string]>([
    [
      'escalation',
      withContext({ allowPrivilegeEscalation: true }),
      'allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)',
    ],
    [
      'other capabilities',
      withContext({ capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE', 'CHOWN'] } }),
      'unrestricted capabilities (container "c" must not include "CHOWN" in securityContext.capabilities.add)',
    ],
    [
      'volumes, which stand in for hostPath',
      {
        volumes: [
          { name: 'root', hostPath: { path: '/' } },
          { name: 'n', nfs: {} },
        ],
      },
      'restricted volume types (volumes "root", "n" use restricted volume types "hostPath", "nfs")',
    ],
    ['root by number', { securityContext: { runAsUser: 0 } }, 'runAsUser=0 (pod must not set runAsUser=0)'],
    [
      'root by word',
      withContext({ runAsNonRoot: false }),
      'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
    ],
  ])('refuse at the restricted level: %s', (_, spec, expected) => {
    expect(judge('restricted', spec)).toBe(expected);
  });

  it('hold as the version said that a namespace names', () => {
    const plain = { containers: [{ name: 'c', image: 'i' }] };
    expect(judge('restricted', plain, { minor: 7 })).toBe(
      'runAsNonRoot != true (pod or container "c" must set securityContext.runAsNonRoot=true)',
    );
    const probe = { containers: [{ ...GOOD_CONTAINER, livenessProbe: { tcpSocket: { host: 'h', port: 1 } } }] };
    expect([judge('baseline', probe, { minor: 33 }) === '', judge('baseline', probe, { minor: 34 }) === '']).toEqual([
      true,
      false,
    ]);
    const annotations = { 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' };
    expect(judge('baseline', {}, { minor: 18, annotations })).toContain('forbidden annotation');
    expect(judge('baseline', {}, { minor: 19, annotations })).toBe('');
  });

  it('ask less of pods in user namespaces and of those that are not for Linux', () => {
    const root = { hostUsers: false, ...withContext({ runAsNonRoot: false, runAsUser: 0 }) };
    expect(judge('restricted', root)).toBe('');
    const windows = { os: { name: 'windows' }, securityContext: { runAsNonRoot: true }, containers: [{ name: 'c' }] };
    expect(judge('restricted', windows)).toBe('');
    expect(judge('restricted', windows, { minor: 24 })).not.toBe('');
  });
});

describe('labels of a namespace', () => {
  it('are read per mode; what means nothing is enforced strictly and reported', () => {
    const { policy, errors } = parsePolicy({
      'pod-security.kubernetes.io/enforce': 'strict',
      'pod-security.kubernetes.io/warn': 'restricted',
      'pod-security.kubernetes.io/warn-version': 'v1.24',
      'pod-security.kubernetes.io/audit': 'nonsense',
      'pod-security.kubernetes.io/audit-version': '1.2',
    });
    expect(policy).toEqual({
      enforce: { level: 'restricted', minor: LATEST },
      warn: { level: 'restricted', minor: 24 },
      audit: { level: 'privileged', minor: LATEST },
    });
    expect(errors.map(({ field, message }) => `${field}: ${message}`)).toEqual([
      'metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "strict": must be one of privileged, baseline, restricted',
      'metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: "nonsense": must be one of privileged, baseline, restricted',
      'metadata.labels[pod-security.kubernetes.io/audit-version]: Invalid value: "1.2": must be "latest" or "v1.x"',
    ]);
  });
});
