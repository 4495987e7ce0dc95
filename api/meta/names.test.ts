import { describe, expect, it } from 'vitest';
import * as names from './names.ts';

const long = (length: number) => 'a'.repeat(length);

describe('name rules', () => {
  const cases: { rule: (value: string) => readonly string[]; good: string[]; bad: string[] }[] = [
    {
      rule: names.dns1123Label,
      good: ['a', 'a-b', '0a', long(63)],
      bad: ['', 'A', '-a', 'a-', 'a.b', 'a\n', long(64)],
    },
    { rule: names.dns1123Subdomain, good: ['a.b-c.d', long(253)], bad: ['', 'a..b', '.a', 'a_b', long(254)] },
    { rule: names.dns1035Label, good: ['a-1'], bad: ['1a', 'A', ''] },
    { rule: names.qualifiedName, good: ['a', 'A_b.c', 'x.y/Z'], bad: ['', '/a', 'a/', 'A/b', 'a/b/c', '-a', long(64)] },
    { rule: names.labelValue, good: ['', 'A.b_c-9'], bad: ['-', 'a b', long(64)] },
    { rule: names.configMapKey, good: ['a', '.a', '__proto__'], bad: ['', '.', '..', '..a', 'a/b', long(254)] },
    { rule: names.envVarName, good: ['A', '9', 'a b', '-'], bad: ['', 'a=b', 'é'] },
    { rule: names.portName, good: ['http', 'a-1'], bad: ['', '1', 'a--b', '-a', 'Http', long(16)] },
    { rule: names.pathSegmentName, good: ['system:x', 'A b'], bad: ['.', '..', 'a/b', 'a%b'] },
    {
      rule: names.ipAddress,
      good: ['1.2.3.4', '::1', 'fe80::1'],
      bad: ['', '1.2.3', '01.2.3.4', '256.1.1.1', 'fe80::1%e', ':::'],
    },
    { rule: names.cidr, good: ['10.0.0.0/8', '::/0'], bad: ['10.0.0.0', '10.0.0.0/33', '::/129', '10.0.0.0/08'] },
    { rule: names.percent, good: ['0%', '120%'], bad: ['', '5', '-1%', '1.5%'] },
    { rule: names.wildcardDns1123Subdomain, good: ['*.a.b'], bad: ['*', 'a.b', '*.*.a'] },
    { rule: names.asPrefix(names.dns1123Label), good: ['a-', 'a'], bad: ['-', 'A-'] },
  ];
  for (const { rule, good, bad } of cases) {
    it(`${rule.name || 'asPrefix'} accepts and refuses as Kubernetes does`, () => {
      expect(good.filter((value) => rule(value).length > 0)).toEqual([]);
      expect(bad.filter((value) => rule(value).length === 0)).toEqual([]);
    });
  }

  it('words a refusal as Kubernetes does', () => {
    expect(names.dns1123Subdomain('A')).toEqual([
      "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
    ]);
    expect(names.dns1123Label('A')[0]).toContain("(e.g. 'my-name',  or '123-abc', regex used for validation is");
  });

  it('answers at once for absurdly long names', () => {
    expect(names.dns1123Subdomain(`${'a-'.repeat(500_000)}!`)).toHaveLength(2);
  });
});
