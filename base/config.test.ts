import { describe, expect, it } from 'vitest';
import { ConfigError, findConfigPath, flagOf, parseConfig, renderConfigHelp, variableOf } from './config.ts';

const SPEC = {
  dataDir: { type: 'string', default: '/var/lib/x', description: 'where state lives' },
  port: { type: 'number', default: 6443, description: 'port', range: [1, 65_535] },
  proxyMode: { type: 'string', default: 'auto', description: 'backend', oneOf: ['auto', 'iptables'] },
  verbose: { type: 'boolean', default: false, description: 'say more' },
  servers: { type: 'list', default: [] as string[], description: 'servers' },
} as const;

const parse = (argv: string[], env: Record<string, string> = {}, content?: unknown) =>
  parseConfig(SPEC, { argv, env, ...(content === undefined ? {} : { file: { name: 'x.yaml', content } }) });

describe('parseConfig', () => {
  it('prefers flag over environment over file over default', () => {
    expect(parse([]).port).toBe(6443);
    expect(parse([], {}, { port: 1 }).port).toBe(1);
    expect(parse([], { CORACLE_PORT: '2' }, { port: 1 }).port).toBe(2);
    expect(parse(['--port=3'], { CORACLE_PORT: '2' }, { port: 1 }).port).toBe(3);
  });

  it('reads every type in every source', () => {
    expect(parse(['--verbose', '--servers', 'a, b', '--proxy-mode', 'iptables'])).toMatchObject({
      verbose: true,
      servers: ['a', 'b'],
      proxyMode: 'iptables',
    });
    expect(parse([], {}, { verbose: false, servers: ['a'], dataDir: '/x' })).toMatchObject({
      verbose: false,
      servers: ['a'],
      dataDir: '/x',
    });
    expect(parse([], { CORACLE_VERBOSE: 'true', CORACLE_SERVERS: 'a,b' })).toMatchObject({
      verbose: true,
      servers: ['a', 'b'],
    });
  });

  it.each([
    {
      name: 'an unknown flag, with a guess',
      run: () => parse(['--data-dri', 'x']),
      message: /unknown flag "--data-dri"; did you mean "--data-dir"/,
    },
    {
      name: 'an unknown key of the file',
      run: () => parse([], {}, { prot: 1 }),
      message: /x\.yaml: unknown key "prot"; did you mean "port"/,
    },
    { name: 'a number that is none', run: () => parse(['--port', 'many']), message: /--port: "many" is not a number/ },
    {
      name: 'an empty number',
      run: () => parse([], { CORACLE_PORT: '' }),
      message: /CORACLE_PORT: "" is not a number/,
    },
    {
      name: 'a value outside the choice',
      run: () => parse(['--proxy-mode', 'ipvs']),
      message: /"ipvs" is not one of auto, iptables/,
    },
    {
      name: 'a number beyond its range',
      run: () => parse([], { CORACLE_PORT: '65536' }),
      message: /CORACLE_PORT: 65536 is not a whole number from 1 to 65535/,
    },
    {
      name: 'a fraction where a whole number is due',
      run: () => parse([], {}, { port: 1.5 }),
      message: /x\.yaml: port/,
    },
    { name: 'a word that is no flag', run: () => parse(['foo']), message: /unexpected argument "foo"/ },
    { name: 'a flag without its value', run: () => parse(['--port']), message: /--port needs a value/ },
    { name: 'a file that is a list', run: () => parse([], {}, ['x']), message: /expected "key: value" lines/ },
    { name: 'a boolean that is none', run: () => parse(['--verbose=yes']), message: /neither true nor false/ },
  ])('refuses $name', ({ run, message }) => {
    expect(run).toThrow(ConfigError);
    expect(run).toThrow(message);
  });
});

it('findConfigPath finds both spellings', () => {
  expect(findConfigPath(['--port', '1', '--config', '/a'], '/d')).toBe('/a');
  expect(findConfigPath(['--config=/b'], '/d')).toBe('/b');
  expect(findConfigPath([], '/d')).toBe('/d');
});

it('names of flags and variables follow the key', () => {
  expect(flagOf('cniBinDirs')).toBe('--cni-bin-dirs');
  expect(variableOf('cniBinDirs')).toBe('CORACLE_CNI_BIN_DIRS');
});

it('renderConfigHelp lists flag, text, choice and default', () => {
  expect(renderConfigHelp(SPEC)).toContain('--proxy-mode  backend (auto, iptables) [auto]');
});
