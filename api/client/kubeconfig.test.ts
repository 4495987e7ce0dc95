import { describe, expect, it } from 'vitest';
import { renderKubeconfig } from '#controller/pki/kubeconfig.ts';
import { parseKubeconfig } from './kubeconfig.ts';

describe('parseKubeconfig', () => {
  it('reads what the controller writes', () => {
    const facts = { server: 'https://192.0.2.1:6443', caPem: 'CA\n', certificatePem: 'CERT\n', privateKeyPem: 'KEY\n' };
    expect(parseKubeconfig(renderKubeconfig(facts))).toEqual({
      server: facts.server,
      ca: 'CA\n',
      cert: 'CERT\n',
      key: 'KEY\n',
      token: undefined,
    });
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
