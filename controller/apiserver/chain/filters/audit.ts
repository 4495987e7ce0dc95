import { ApiError } from '#api/object/api-error.ts';
import type { Clock } from '#base/clock.ts';
import { renderAuditEvent } from '../../audit/audit-event.ts';
import {
  type AuditDecision,
  type AuditPolicy,
  type AuditStage,
  defaultAuditPolicy,
  REFUSAL,
} from '../../audit/audit-policy.ts';
import { AuditRecord } from '../../audit/audit-record.ts';
import { createTrickle } from '../../audit/trickle.ts';
import type { ApiRequest, Peer, UpgradedSocket } from '../../server/api-request.ts';
import { isLongRunning } from '../handler-chain.ts';
import type { Filter, RequestContext } from '../request-context.ts';

export interface AuditDeps {
  /** Takes one JSON line without its newline; must not block. See AuditBuffer. Undefined: nothing is written. */
  readonly write: ((line: string) => void) | undefined;
  readonly clock: Clock;
  /** Undefined: our own default. */
  readonly policy?: AuditPolicy | undefined;
}

/** Writes the events of a request that the policy names: as it comes, when a stream's answer begins, and when it is complete. */
export function createAuditFilter({ write, clock, policy }: AuditDeps): Filter {
  if (write === undefined) return { name: 'audit', run: (_, next) => next() };
  const decide = policy ?? defaultAuditPolicy;

  const emit = (context: RequestContext, record: AuditRecord, stage: AuditStage, error?: unknown): void => {
    if (record.decision.omitStages.has(stage)) return;
    const isBegun = stage !== 'RequestReceived';
    const code =
      error === undefined ? (isBegun ? context.statusCode : 0) : error instanceof ApiError ? error.code : 500;
    write(renderAuditEvent(context, record, { stage, code, error, nowMs: clock.now() }));
  };

  const runRecorded = async (context: RequestContext, record: AuditRecord, next: () => Promise<void>) => {
    context.audit = record;
    if (record.wantsRequest) context.request = new RecordingRequest(context.request, record);
    emit(context, record, 'RequestReceived');
    if (isLongRunning(context.info)) {
      const before = context.onAnswer;
      context.onAnswer = () => {
        before?.();
        emit(context, record, 'ResponseStarted');
      };
    }
    try {
      await next();
    } catch (err) {
      emit(context, record, 'ResponseComplete', err);
      throw err;
    }
    emit(context, record, 'ResponseComplete');
  };

  /** Without a policy of the administrator's, refusals are worth a line whatever was refused. */
  const runUnrecorded = async (context: RequestContext, next: () => Promise<void>) => {
    try {
      await next();
    } catch (err) {
      if (err instanceof ApiError && err.code === 403) emit(context, new AuditRecord(REFUSAL), 'ResponseComplete', err);
      throw err;
    }
  };

  return {
    name: 'audit',
    run(context, next) {
      const decision = decide(context);
      if (decision.level !== 'None') return runRecorded(context, new AuditRecord(decision), next);
      return policy === undefined ? runUnrecorded(context, next) : next();
    },
  };
}

/** Annotation of requests that showed a client certificate which counts for nothing: OpenSSL's word for why. */
const REFUSED_CERTIFICATE = 'authentication.coracle.dev/refused-certificate';

/**
 * Tells of requests whose credentials were not accepted; they never reach the filter. Anybody can send them in any number: where no policy
 * asks for all of them, those that showed a credential are told of, and only so many that they cannot push all else out of the log.
 */
export function createFailedAuthenticationAudit({ write, clock, policy }: AuditDeps) {
  const mayTell = createTrickle(clock, { burst: 100, perSecond: 10 });
  const decide = ({ request }: RequestContext): AuditDecision | undefined => {
    const { certificate, refusedCertificate } = request.peer;
    const hasCredential = (request.header('authorization') ?? certificate ?? refusedCertificate) !== undefined;
    return hasCredential && mayTell() ? REFUSAL : undefined;
  };
  return (context: RequestContext, error: ApiError): void => {
    if (write === undefined) return;
    const fault = context.request.peer.refusedCertificate;
    const told: Record<string, string> = fault === undefined ? {} : { [REFUSED_CERTIFICATE]: fault };
    const auditAnnotations = { ...context.auditAnnotations, ...told };
    const nobody = { ...context, user: { name: '', groups: [] }, auditAnnotations };
    const decision = policy === undefined ? decide(nobody) : policy(nobody);
    const stage = policy === undefined ? 'ResponseComplete' : 'ResponseStarted';
    if (decision === undefined || decision.level === 'None' || decision.omitStages.has(stage)) return;
    write(renderAuditEvent(nobody, new AuditRecord(decision), { stage, code: error.code, error, nowMs: clock.now() }));
  };
}

/** The same request, whose body is noted as it is read. */
class RecordingRequest implements ApiRequest {
  readonly #request: ApiRequest;
  readonly #record: AuditRecord;
  readonly method: string;
  readonly path: string;
  readonly query: string;
  readonly peer: Peer;
  readonly upgrade?: () => UpgradedSocket;

  constructor(request: ApiRequest, record: AuditRecord) {
    this.#request = request;
    this.#record = record;
    this.method = request.method;
    this.path = request.path;
    this.query = request.query;
    this.peer = request.peer;
    if (request.upgrade !== undefined) this.upgrade = request.upgrade;
  }

  get signal(): AbortSignal {
    return this.#request.signal;
  }

  header(name: string): string | undefined {
    return this.#request.header(name);
  }

  get rawHeaders(): readonly string[] {
    return this.#request.rawHeaders ?? [];
  }

  /** Passes through, unrecorded: it is no object of this server's. */
  get bodyStream(): ApiRequest['bodyStream'] {
    return this.#request.bodyStream?.bind(this.#request);
  }

  async readBody(maxBytes: number): Promise<Uint8Array> {
    const body = await this.#request.readBody(maxBytes);
    this.#record.noteRequestBody(body, this.#request.header('content-type') ?? '');
    return body;
  }
}
