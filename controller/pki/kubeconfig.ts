export interface KubeconfigFacts {
  /** `https://host:6443`. */
  readonly server: string;
  readonly caPem: string;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly clusterName?: string;
  readonly userName?: string;
}

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** A kubeconfig with everything embedded, for `kubectl --kubeconfig`. Names must not need YAML quoting. Write it with mode 0600. */
export function renderKubeconfig(facts: KubeconfigFacts): string {
  const { clusterName = 'coracle', userName = 'kubernetes-admin' } = facts;
  const contextName = `${userName}@${clusterName}`;
  return `apiVersion: v1
kind: Config
clusters:
- name: ${clusterName}
  cluster:
    certificate-authority-data: ${base64(facts.caPem)}
    server: ${facts.server}
contexts:
- name: ${contextName}
  context:
    cluster: ${clusterName}
    user: ${userName}
current-context: ${contextName}
preferences: {}
users:
- name: ${userName}
  user:
    client-certificate-data: ${base64(facts.certificatePem)}
    client-key-data: ${base64(facts.privateKeyPem)}
`;
}
