export interface KubeconfigFacts {
  /** `https://host:6443`, of API servers of one cluster; kubectl uses the first unless `--context` names another. Not empty. */
  readonly servers: readonly string[];
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
  const entries = facts.servers.map((server, at) => {
    const name = at === 0 ? clusterName : `${clusterName}-${at + 1}`;
    return { server, name, contextName: `${userName}@${name}` };
  });
  const clusters = entries.map(
    ({ server, name }) => `- name: ${name}
  cluster:
    certificate-authority-data: ${base64(facts.caPem)}
    server: ${server}
`,
  );
  const contexts = entries.map(
    ({ name, contextName }) => `- name: ${contextName}
  context:
    cluster: ${name}
    user: ${userName}
`,
  );
  return `apiVersion: v1
kind: Config
clusters:
${clusters.join('')}contexts:
${contexts.join('')}current-context: ${entries[0]?.contextName}
preferences: {}
users:
- name: ${userName}
  user:
    client-certificate-data: ${base64(facts.certificatePem)}
    client-key-data: ${base64(facts.privateKeyPem)}
`;
}
