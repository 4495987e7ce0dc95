import { describe, expect, it } from 'vitest';
import { parseNodeRoute } from './node-routes.ts';

describe('node route', () => {
  it('reads the options of logs', () => {
    const url =
      '/containerLogs/default/web/main?follow=true&tailLines=5&sinceSeconds=60&timestamps=true&limitBytes=9&stream=Stderr';
    expect(parseNodeRoute(url)).toEqual({
      kind: 'logs',
      request: {
        pod: { namespace: 'default', name: 'web', uid: undefined },
        container: 'main',
        follow: true,
        previous: false,
        timestamps: true,
        tailLines: 5,
        limitBytes: 9,
        sinceSeconds: 60,
        sinceTimeMs: undefined,
        stream: 'Stderr',
      },
    });
  });

  it('reads a command with its words apart, with and without the pod UID', () => {
    const query = 'command=sh&command=-c&command=echo%20a%26b&input=1&output=1&tty=0';
    const request = {
      container: 'main',
      command: ['sh', '-c', 'echo a&b'],
      tty: false,
      stdin: true,
      stdout: true,
      stderr: false,
    };
    expect(parseNodeRoute(`/exec/default/web/main?${query}`)).toEqual({
      kind: 'exec',
      request: { ...request, pod: { namespace: 'default', name: 'web', uid: undefined } },
    });
    expect(parseNodeRoute(`/exec/default/web/uid-1/main?${query}`)).toEqual({
      kind: 'exec',
      request: { ...request, pod: { namespace: 'default', name: 'web', uid: 'uid-1' } },
    });
  });

  it('reads the ports of a port-forward', () => {
    expect(parseNodeRoute('/portForward/default/web?port=80&port=443')).toMatchObject({
      kind: 'portForward',
      ports: [80, 443],
    });
  });

  it.each([
    ['/stats/summary?only_cpu_and_memory=true', { kind: 'summary', onlyCpuAndMemory: true }],
    ['/metrics', { kind: 'metrics', which: 'own' }],
    ['/metrics/resource', { kind: 'metrics', which: 'resource' }],
    [
      '/run/default/web/main?cmd=ls%20-l',
      {
        kind: 'run',
        pod: { namespace: 'default', name: 'web', uid: undefined },
        container: 'main',
        command: ['ls', '-l'],
      },
    ],
    [
      '/checkpoint/default/web/main?timeout=5',
      {
        kind: 'checkpoint',
        pod: { namespace: 'default', name: 'web', uid: undefined },
        container: 'main',
        timeoutSeconds: 5,
      },
    ],
  ])('%s', (url, route) => {
    expect(parseNodeRoute(url)).toEqual(route);
  });

  it.each([
    ['/configz', 'configz'],
    ['/metrics/other', 'notFound'],
    ['/run/default/web/main', 'invalid'],
    ['/checkpoint/default/web/main?timeout=x', 'invalid'],
    ['/healthz', 'healthz'],
    ['/pods', 'pods'],
    ['/exec/default/web/main?command=x', 'invalid'],
    ['/containerLogs/default/web/main?tailLines=-1', 'invalid'],
    ['/containerLogs/default/web/main?limitBytes=0', 'invalid'],
    ['/containerLogs/default/web/main?sinceTime=yesterday', 'invalid'],
    ['/containerLogs/default/web/main?stream=Both', 'invalid'],
    ['/portForward/default/web?port=0', 'invalid'],
    ['/containerLogs/default/web', 'notFound'],
    ['/containerLogs/default/web/main/more', 'notFound'],
    ['/logs/../etc/passwd', 'notFound'],
    ['/%zz', 'notFound'],
    ['/', 'notFound'],
  ])('%s is %s', (url, kind) => {
    expect(parseNodeRoute(url).kind).toBe(kind);
  });
});
