import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Pod } from '#api/object/kinds.ts';
import { TICKER } from '#test/kit/attach.ts';
import { BUSYBOX_IMAGE } from '#test/kit/image-archive.ts';

/*
 * The pods of pod-lifecycle.test.ts, many features in few of them: they all start at once. `/log` of a pod is a folder of the host that
 * outlives it.
 */

export type PodSpec = NonNullable<Pod['spec']>;
export type Container = PodSpec['containers'][number];

export const REGISTRY_PORT = 5998;
export const HOST_PORT = 8097;

export const container = (name: string, script: string, more: Partial<Container> = {}): Container => ({
  name,
  image: BUSYBOX_IMAGE,
  command: ['sh', '-c', script],
  ...more,
});

/** Runs until it is told to end, then at once. */
export const STAYS = 'trap "exit 0" TERM; sleep 1000 & wait';
export const log = [{ name: 'log', mountPath: '/log' }];

interface Named {
  readonly name: string;
  readonly spec: PodSpec;
  readonly metadata?: Partial<Pod['metadata']>;
}

export const HANDLERS = {
  exec: { exec: { command: ['sh', '-c', 'test ! -e /state/ill || { echo is ill; exit 1; }'] } },
  http: { httpGet: { path: '/', port: 'web' } },
  https: { httpGet: { path: '/', port: 8443, scheme: 'HTTPS' } },
  tcp: { tcpSocket: { port: 9090 } },
  grpc: { grpc: { port: 50_051 } },
} as const;

const probe = (handler: object, failureThreshold: number) => ({
  ...handler,
  periodSeconds: 1,
  timeoutSeconds: 10,
  failureThreshold,
});

/** A container per handler, whose three probes all ask the same: the sidecar, or a file. */
function probed(): PodSpec {
  const state = { name: 'state', mountPath: '/state' };
  const libraries = ['/lib', '/lib64', '/usr/lib'].filter((path) => existsSync(path));
  const hostFolders = [...libraries, dirname(process.execPath), join(import.meta.dirname, '../kit')];
  const onHost = hostFolders.map((path, index) => ({ name: `host${index}`, hostPath: { path } }));
  const mountPaths = [...libraries, '/node', '/kit'];
  const target: Container = {
    name: 'target',
    image: BUSYBOX_IMAGE,
    command: ['/node/node', '/kit/probe-target-child.ts'],
    restartPolicy: 'Always',
    startupProbe: probe({ httpGet: { path: '/', port: 8080 } }, 100),
    volumeMounts: [
      state,
      { name: 'tls', mountPath: '/tls' },
      ...onHost.map(({ name }, index) => ({ name, mountPath: mountPaths[index]!, readOnly: true })),
    ],
  };
  const containers = Object.entries(HANDLERS).map(([name, handler]) =>
    container(name, STAYS, {
      ports: [{ name: 'web', containerPort: 8080 }],
      startupProbe: probe(handler, 100),
      livenessProbe: probe(handler, 1),
      readinessProbe: probe(handler, 1),
      volumeMounts: [state],
    }),
  );
  return {
    initContainers: [target],
    containers,
    volumes: [{ name: 'state', emptyDir: {} }, { name: 'tls', secret: { secretName: 'tls' } }, ...onHost],
  };
}

/** Each hook notes itself: a command does, and a sidecar notes what is asked of it. */
function hooked(): PodSpec {
  const listener = [
    'mkdir -p /tmp/cgi-bin',
    "echo '#!/bin/sh' > /tmp/cgi-bin/hook",
    `echo 'echo "$QUERY_STRING" >> /log/hooks; printf "Content-Type: text/plain\r\n\r\n"' >> /tmp/cgi-bin/hook`,
    'chmod 755 /tmp/cgi-bin/hook',
    'exec httpd -f -p 8080 -h /tmp',
  ].join('; ');
  const shell = (name: string) => ({ exec: { command: ['sh', '-c', `echo ${name} >> /log/hooks`] } });
  const request = (name: string) => ({ httpGet: { path: `/cgi-bin/hook?${name}`, port: 8080 } });
  const pause = { sleep: { seconds: 1 } };
  const lifecycles: Readonly<Record<string, Container['lifecycle']>> = {
    exec: { postStart: shell('postStart-exec'), preStop: shell('preStop-exec') },
    http: { postStart: request('postStart-http'), preStop: request('preStop-http') },
    pause: { postStart: pause, preStop: pause },
  };
  return {
    terminationGracePeriodSeconds: 30,
    initContainers: [
      container('listener', listener, {
        restartPolicy: 'Always',
        startupProbe: probe({ tcpSocket: { port: 8080 } }, 100),
        volumeMounts: log,
      }),
    ],
    containers: Object.entries(lifecycles).map(([name, lifecycle]) =>
      container(name, STAYS, { volumeMounts: log, ...(lifecycle === undefined ? {} : { lifecycle }) }),
    ),
  };
}

const says = (name: string) => `echo ${name} >> /log/order`;
/** Ends only after `before` has been noted: in another order the pod would be killed at the end of its time. */
const endsAfter = (name: string, before: string) =>
  `trap "until grep -q ${before} /log/order; do sleep 0.1; done; ${says(`${name}-ends`)}; exit 0" TERM; ${says(name)}; while :; do sleep 0.1; done`;

const stages: PodSpec = {
  terminationGracePeriodSeconds: 60,
  initContainers: [
    container('first', says('first'), { volumeMounts: log }),
    container('side-a', `sleep 1; touch /tmp/up; ${endsAfter('side-a', 'side-b-ends')}`, {
      restartPolicy: 'Always',
      startupProbe: { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, timeoutSeconds: 10 },
      lifecycle: { preStop: { exec: { command: ['sh', '-c', says('side-a-preStop')] } } },
      volumeMounts: log,
    }),
    container('second', `grep -q side-a /log/order && ${says('second')}`, { volumeMounts: log }),
    container('side-b', endsAfter('side-b', 'main-ends'), { restartPolicy: 'Always', volumeMounts: log }),
  ],
  // Hooks of sidecars run at once, long before it is their turn to end.
  containers: [container('main', endsAfter('main', 'side-a-preStop'), { volumeMounts: log })],
};

const rules: PodSpec = {
  restartPolicy: 'Never',
  containers: [
    container('by-rule', `test -e /log/again && { ${STAYS}; }; touch /log/again; exit 42`, {
      restartPolicy: 'Never',
      restartPolicyRules: [{ action: 'Restart', exitCodes: { operator: 'In', values: [42] } }],
      volumeMounts: log,
    }),
    container('by-policy', `test -e /log/more && exit 0; touch /log/more; exit 1`, {
      restartPolicy: 'OnFailure',
      volumeMounts: log,
    }),
    container('once', 'exit 0'),
  ],
};

const messages: PodSpec = {
  restartPolicy: 'Never',
  containers: [
    container('file', 'echo in a file of its own > /tmp/why; exit 3', { terminationMessagePath: '/tmp/why' }),
    container('logs', 'echo in its log; exit 4', { terminationMessagePolicy: 'FallbackToLogsOnError' }),
    container('fine', 'echo well', { terminationMessagePolicy: 'FallbackToLogsOnError' }),
  ],
};

const fromField = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const fromResource = (name: string, resource: string, divisor: string) => ({
  name,
  valueFrom: { resourceFieldRef: { resource, divisor } },
});

const downward: PodSpec = {
  serviceAccountName: 'default',
  containers: [
    container('main', `env | grep ^D_ | sort; ${STAYS}`, {
      env: [
        fromField('D_NAME', 'metadata.name'),
        fromField('D_NAMESPACE', 'metadata.namespace'),
        fromField('D_UID', 'metadata.uid'),
        fromField('D_LABEL', "metadata.labels['app']"),
        fromField('D_ANNOTATION', "metadata.annotations['example.com/a']"),
        fromField('D_NODE', 'spec.nodeName'),
        fromField('D_ACCOUNT', 'spec.serviceAccountName'),
        fromField('D_HOST_IP', 'status.hostIP'),
        fromField('D_HOST_IPS', 'status.hostIPs'),
        fromField('D_POD_IP', 'status.podIP'),
        fromField('D_POD_IPS', 'status.podIPs'),
        fromResource('D_CPU', 'limits.cpu', '1m'),
        fromResource('D_MEMORY', 'requests.memory', '1Mi'),
        fromResource('D_DISK', 'limits.ephemeral-storage', '1Mi'),
      ],
      resources: {
        requests: { cpu: '100m', memory: '16Mi' },
        limits: { cpu: '250m', memory: '32Mi', 'ephemeral-storage': '64Mi' },
      },
      volumeMounts: [{ name: 'about', mountPath: '/about' }],
    }),
  ],
  volumes: [
    {
      name: 'about',
      downwardAPI: {
        items: [
          { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
          { path: 'annotations', fieldRef: { fieldPath: 'metadata.annotations' } },
          { path: 'cpu', resourceFieldRef: { containerName: 'main', resource: 'limits.cpu', divisor: '1m' } },
        ],
      },
    },
  ],
};

const namespaces = 'for one in net pid ipc; do readlink /proc/self/ns/$one; done';
const registry = (repository: string) => `127.0.0.1:${REGISTRY_PORT}/${repository}`;

export const lifecyclePods = (digests: Readonly<Record<string, string>>): readonly Named[] => [
  { name: 'stages', spec: stages },
  { name: 'probed', spec: probed() },
  { name: 'hooked', spec: hooked() },
  {
    name: 'ill',
    spec: {
      containers: [
        container('exec', STAYS, {
          livenessProbe: probe({ exec: { command: ['sh', '-c', 'echo is ill; exit 1'] } }, 1),
        }),
        container('http', 'exec httpd -f -p 8080 -h /tmp', {
          // It may not listen yet.
          startupProbe: probe({ tcpSocket: { port: 8080 } }, 100),
          livenessProbe: probe({ httpGet: { path: '/absent', port: 8080 } }, 1),
        }),
        container('tcp', STAYS, { livenessProbe: probe({ tcpSocket: { port: 9090 } }, 1) }),
      ],
    },
  },
  { name: 'rules', spec: rules },
  { name: 'messages', spec: messages },
  { name: 'downward', metadata: { labels: { app: 'd' }, annotations: { 'example.com/a': 'x "y"' } }, spec: downward },
  {
    name: 'bad-hook',
    spec: {
      containers: [
        container('main', STAYS, {
          lifecycle: { postStart: { exec: { command: ['sh', '-c', 'echo s3cret; exit 1'] } } },
        }),
      ],
    },
  },
  {
    name: 'odd-probes',
    spec: {
      containers: [
        container('main', STAYS, {
          livenessProbe: { exec: { command: ['/no/such/program'] }, periodSeconds: 1, failureThreshold: 1 },
          readinessProbe: { exec: { command: ['sleep', '9'] }, periodSeconds: 1, timeoutSeconds: 1 },
        }),
      ],
    },
  },
  { name: 'deadline', spec: { activeDeadlineSeconds: 1, containers: [container('main', STAYS)] } },
  {
    // Killed after the second that its probe gives, not after the hour that the pod gives.
    name: 'stubborn',
    spec: {
      terminationGracePeriodSeconds: 3600,
      containers: [
        container('main', 'trap "" TERM; echo up; while :; do sleep 1; done', {
          livenessProbe: {
            exec: { command: ['false'] },
            periodSeconds: 1,
            timeoutSeconds: 10,
            failureThreshold: 1,
            terminationGracePeriodSeconds: 1,
          },
        }),
      ],
    },
  },
  {
    name: 'forced',
    spec: {
      terminationGracePeriodSeconds: 2,
      containers: [container('main', 'trap "" TERM; while :; do sleep 1; done')],
    },
  },
  {
    name: 'signal',
    spec: {
      terminationGracePeriodSeconds: 3600,
      containers: [
        {
          ...container(
            'main',
            'trap "echo USR1 > /log/signal; exit 0" USR1; trap "" TERM; while :; do sleep 0.1; done',
          ),
          image: `${registry('signal')}:1`,
          readinessProbe: { exec: { command: ['true'] }, timeoutSeconds: 10 },
          volumeMounts: log,
        },
      ],
    },
  },
  {
    name: 'shared',
    spec: {
      shareProcessNamespace: true,
      containers: [container('a', 'exec sleep 4321'), container('b', STAYS)],
    },
  },
  {
    name: 'host-namespaces',
    spec: {
      hostNetwork: true,
      hostPID: true,
      hostIPC: true,
      dnsPolicy: 'ClusterFirstWithHostNet',
      containers: [container('main', `${namespaces}; cat /etc/resolv.conf; ${STAYS}`)],
    },
  },
  {
    name: 'names',
    spec: {
      hostname: 'boat',
      subdomain: 'fleet',
      setHostnameAsFQDN: true,
      enableServiceLinks: false,
      hostAliases: [{ ip: '192.0.2.7', hostnames: ['seven', 'sept'] }],
      dnsPolicy: 'None',
      dnsConfig: { nameservers: ['192.0.2.53'], searches: ['example.test'], options: [{ name: 'ndots', value: '2' }] },
      containers: [container('main', `hostname; cat /etc/hosts /etc/resolv.conf; env | grep SERVICE_HOST; ${STAYS}`)],
    },
  },
  {
    name: 'linked',
    spec: {
      dnsPolicy: 'Default',
      containers: [
        container(
          'main',
          'cat /etc/resolv.conf; env | grep SERVICE_HOST; echo port > /tmp/index.html; exec httpd -f -p 80 -h /tmp',
          {
            ports: [{ containerPort: 80, hostPort: HOST_PORT }],
          },
        ),
      ],
    },
  },
  ...['ticker-new', 'ticker-old'].map((name) => ({
    name,
    spec: { containers: [{ name: 'main', image: BUSYBOX_IMAGE, command: TICKER }] },
  })),
  {
    name: 'gated',
    spec: {
      schedulingGates: [{ name: 'example.com/wait' }],
      readinessGates: [{ conditionType: 'example.com/checked' }],
      containers: [container('main', STAYS)],
    },
  },
  {
    name: 'sized',
    spec: {
      containers: [
        container('main', STAYS, {
          resources: { limits: { cpu: '100m', memory: '32Mi' } },
          resizePolicy: [
            { resourceName: 'cpu', restartPolicy: 'NotRequired' },
            { resourceName: 'memory', restartPolicy: 'RestartContainer' },
          ],
        }),
      ],
    },
  },
  {
    name: 'pod-level',
    spec: {
      runtimeClassName: 'heavy',
      resources: { limits: { cpu: '200m', memory: '64Mi' } },
      containers: [container('main', STAYS)],
    },
  },
  {
    name: 'by-digest',
    spec: { containers: [{ name: 'main', image: `${registry('open')}@${digests.open}` }] },
  },
  {
    name: 'always',
    spec: { containers: [{ name: 'main', image: `${registry('always')}:1`, imagePullPolicy: 'Always' }] },
  },
  {
    name: 'never',
    spec: { containers: [{ name: 'main', image: 'coracle.test/absent:1', imagePullPolicy: 'Never' }] },
  },
  ...['of-node', 'of-plugin', 'of-account'].map((name) => ({
    name,
    spec: { containers: [{ name: 'main', image: `${registry(name)}:1` }] },
  })),
  {
    name: 'of-nobody',
    spec: {
      imagePullSecrets: [{ name: 'nowhere' }],
      containers: [{ name: 'main', image: `${registry('of-nobody')}:1` }],
    },
  },
  {
    name: 'of-pod',
    spec: { imagePullSecrets: [{ name: 'of-pod' }], containers: [{ name: 'main', image: `${registry('of-pod')}:1` }] },
  },
];
