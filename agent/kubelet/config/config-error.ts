/** The pod's own configuration cannot be turned into a container: shown as `CreateContainerConfigError`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}
