import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { parseKubeconfig } from './kubeconfig.ts';

describe('parseKubeconfig', () => {
  it('reads what the controller writes', () => {
    const facts = {
      servers: ['https://192.0.2.1:6443'],
      caPem: 'CA\n',
      certificatePem: 'CERT\n',
      privateKeyPem: 'KEY\n',
    };
    expect(parseKubeconfig(renderKubeconfig(facts))).toEqual({
      server: 'https://192.0.2.1:6443',
      ca: 'CA\n',
      cert: 'CERT\n',
      key: 'KEY\n',
      token: undefined,
    });
  });

  it('finds the other servers of the cluster, and none of another cluster or user', () => {
    const pems = { caPem: 'CA\n', certificatePem: 'CERT\n', privateKeyPem: 'KEY\n' };
    const servers = ['https://192.0.2.1:6443', 'https://[2001:db8::2]:6443', 'https://192.0.2.3:6443'];
    const text = renderKubeconfig({ ...pems, servers });
    const config = parse(text);
    config.clusters.push({ name: 'foreign', cluster: { ...config.clusters[0].cluster, server: 'https://a:1' } });
    config.clusters.push({
      name: 'elsewhere',
      cluster: { server: 'https://b:1', 'certificate-authority-data': 'QQ==' },
    });
    config.contexts.push({ name: 'f', context: { cluster: 'foreign', user: 'somebody' } });
    config.contexts.push({ name: 'e', context: { cluster: 'elsewhere', user: 'kubernetes-admin' } });
    const { server, otherServers } = parseKubeconfig(stringify(config));
    expect([server, ...(otherServers ?? [])]).toEqual(servers);
    expect(config.contexts.map(({ name }: { name: string }) => name).slice(0, 3)).toEqual([
      'kubernetes-admin@coracle',
      'kubernetes-admin@coracle-2',
      'kubernetes-admin@coracle-3',
    ]);
  });

  it.each([
    { name: 'no current context', text: 'contexts: []', message: /current-context/ },
    { name: 'an empty file', text: '', message: /current-context/ },
    {
      name: 'a missing cluster',
      text: 'current-context: a\ncontexts: [{name: a, context: {cluster: c, user: u}}]',
      message: /no server for cluster "c"/,
    },
  ])('names what is wrong: $name', ({ text, message }) => {
    expect(() => parseKubeconfig(text)).toThrow(message);
  });
});
