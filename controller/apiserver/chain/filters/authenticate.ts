import { ApiError, unauthorized } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import type { SecurityMetrics } from '../../metrics/security-metrics.ts';
import { ANONYMOUS_USER } from '../handler-chain.ts';
import type { Authenticator, Filter, RequestContext, UserInfo } from '../request-context.ts';

/** What answers without credentials: probes of load balancers and supervisors, and kubectl's version check. */
const ANONYMOUS_PATHS = /^\/(?:healthz|livez|readyz|version)\/?$/;

/** What the administrator says instead: nobody, everybody, or who asks for one of these paths. */
export interface AnonymousAccess {
  readonly enabled: boolean;
  /** Undefined: any, and roles decide. */
  readonly paths: readonly string[] | undefined;
}

function mayBeAnonymous({ info }: RequestContext, access: AnonymousAccess | undefined): boolean {
  if (access === undefined) return !info.isResourceRequest && ANONYMOUS_PATHS.test(info.path);
  return access.enabled && (access.paths === undefined || access.paths.includes(info.path));
}

export interface AuthenticateDeps {
  /** Asked in order; the first that knows the request decides. */
  readonly authenticators: readonly Authenticator[];
  readonly clock: Clock;
  readonly metrics: SecurityMetrics;
  /** Undefined, or answering undefined: health and version are for everybody, nothing else. */
  readonly anonymous?: () => AnonymousAccess | undefined;
  /** Told of every request that is refused here. */
  readonly onFailure?: (context: RequestContext, err: ApiError) => void;
}

/** Sets `context.user`, or answers 401. Anonymous requests pass to the paths that are for everybody alone. */
export function createAuthenticateFilter(deps: AuthenticateDeps): Filter {
  const { authenticators, clock, metrics, onFailure } = deps;
  /** Authenticators answer at once as a rule; a promise is awaited only where one turns up. */
  const identify = (context: RequestContext, from = 0): UserInfo | Promise<UserInfo> => {
    for (let i = from; i < authenticators.length; i++) {
      const answer = authenticators[i]!.authenticate(context.request);
      if (answer instanceof Promise) return answer.then((user) => user ?? identify(context, i + 1));
      if (answer !== undefined) return answer;
    }
    if (mayBeAnonymous(context, deps.anonymous?.())) return ANONYMOUS_USER;
    throw unauthorized();
  };
  return {
    name: 'authenticate',
    run(context, next) {
      const startMs = clock.monotonic();
      const accept = (user: UserInfo): Promise<void> => {
        context.user = user;
        metrics.authenticated(context, clock.monotonic() - startMs);
        return next();
      };
      const refuse = (err: unknown): never => {
        metrics.notAuthenticated(clock.monotonic() - startMs);
        if (err instanceof ApiError) onFailure?.(context, err);
        throw err;
      };
      let user: UserInfo | Promise<UserInfo>;
      try {
        user = identify(context);
      } catch (err) {
        return refuse(err);
      }
      return user instanceof Promise ? user.then(accept, refuse) : accept(user);
    },
  };
}
