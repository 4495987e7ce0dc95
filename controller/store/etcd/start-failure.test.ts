import { describe, expect, it } from 'vitest';
import { describeStartFailure } from './start-failure.ts';

const wrap = (error: string) => `No connection established. Last error: ${error}. Resolution note: `;
const ALERT =
  '40C3B73E877F0000:error:0A000412:SSL routines:ssl3_read_bytes:ssl/tls alert bad certificate:../deps/openssl/rec_layer_s3.c:918:SSL alert number 42 (2026-11-23T04:51:03.739Z)';

describe('describeStartFailure', () => {
  it.each<[string, string, string, string, RegExp, boolean]>([
    [
      'a closed port',
      'https://a:1',
      wrap('Error: connect ECONNREFUSED 127.0.0.1:1'),
      'connect ECONNREFUSED 127.0.0.1:1',
      /is etcd running/,
      false,
    ],
    [
      'a wrong CA',
      'https://a:1',
      wrap('Error: unable to verify the first certificate; if the root CA is installed locally'),
      'unable to verify the first certificate; if the root CA is installed locally',
      /name the CA file/,
      true,
    ],
    ['no client certificate', 'https://a:1', wrap(ALERT), 'ssl/tls alert bad certificate', /set etcdCert/, true],
    [
      'an unknown name',
      'https://a:1',
      'Name resolution failed for target dns:a:1',
      'Name res',
      /the name right/,
      false,
    ],
    ['TLS where plain text was tried', 'http://a:1', wrap('Failed to connect'), 'Failed', /https:\/\//, false],
    ['plain text where TLS was tried', 'https://a:1', wrap('Error: wrong version number'), 'wrong', /http:\/\//, true],
    ['users', 'https://a:1', 'etcdserver: user name is empty', 'etcdserver', /common name is an etcd user/, true],
  ])('tells cause and cure of %s in one line', (_, server, raw, told, cure, isFinal) => {
    const failure = describeStartFailure(new Map([[server, raw]]));
    expect(failure.message).toContain(`${server} (${told}`);
    expect(failure.message).toMatch(cure);
    expect(failure.message).not.toMatch(/[\n]|deps|Last error/);
    expect(failure.isFinal).toBe(isFinal);
  });

  it('names every server, each cure once, and waits while one of them may still come', () => {
    const refused = wrap('Error: connect ECONNREFUSED 127.0.0.1:1');
    const failures = new Map([
      ['https://a:1', refused],
      ['https://b:1', refused],
      ['https://c:1', wrap('Error: self-signed certificate')],
    ]);
    const { message, isFinal } = describeStartFailure(failures);
    expect(message.match(/https:\/\/[abc]:1/g)).toHaveLength(3);
    expect(message.match(/is etcd running/g)).toHaveLength(1);
    expect(isFinal).toBe(false);
  });
});
