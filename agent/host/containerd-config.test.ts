import { describe, expect, it } from 'vitest';
import { type ContainerdConfigOptions, containerdConfigVersion, renderContainerdConfig } from './containerd-config.ts';

const options: ContainerdConfigOptions = {
  configVersion: 2,
  rootDirectory: '/var/lib/coracle/agent/containerd',
  stateDirectory: '/run/coracle/containerd',
  socketPath: '/run/coracle/containerd.sock',
  sandboxImage: 'coracle.dev/pause:1',
  cniBinDirectory: '/usr/lib/cni',
  cniConfigDirectory: '/etc/coracle/cni',
  snapshotter: 'overlayfs',
  systemdCgroup: true,
  restrictOomScoreAdj: false,
  registryConfigDirectory: '/etc/coracle/registries',
};

describe('containerd configuration', () => {
  it.each([
    ['containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3', 2],
    ['containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24~ds1-6+b4', 2],
    ['containerd github.com/containerd/containerd/v2 2.1.9 2.1.9~ds1-1', 3],
    ['containerd containerd.io v2.0.5 fb4c30d4', 3],
  ] as const)('knows the format of %s', (line, version) => {
    expect(containerdConfigVersion(line)).toBe(version);
  });

  it('names the sandbox image where version 2 looks for it', () => {
    const text = renderContainerdConfig(options);
    expect(text).toMatch(/^version = 2\n/);
    expect(text).toContain('[plugins."io.containerd.grpc.v1.cri"]\n  sandbox_image = "coracle.dev/pause:1"');
    expect(text).toMatch(
      /runtimes.runc.options\]\n {8}Root = "\/run\/coracle\/containerd\/runc"\n {8}SystemdCgroup = true/,
    );
  });

  it('names the sandbox image where version 3 looks for it', () => {
    const text = renderContainerdConfig({ ...options, configVersion: 3 });
    expect(text).toContain('images".pinned_images]\n    sandbox = "coracle.dev/pause:1"');
    expect(text).not.toContain('sandbox_image');
  });
});
