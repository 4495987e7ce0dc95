import { type ApiResponse, type HeaderMap, type ResponseStream, sendPieces } from '../server/api-request.ts';
import { joinPieces, type PiecedBody } from '../server/pieced-body.ts';
import type { RequestContext } from './request-context.ts';

/** What all Warning headers together may take, and what each is cut to once they take more: Kubernetes' numbers. */
const MAX_WARNING_CHARS = 256;
const MAX_WARNINGS_BYTES = 4096;

/** Puts what every answer carries on it (audit id, warnings, no caching) and notes the code for audit and metrics. */
export class ChainResponse implements ApiResponse {
  readonly #target: ApiResponse;
  #context: RequestContext | undefined;
  /** Bytes of the body, or of the stream so far. */
  sentBytes = 0;

  constructor(target: ApiResponse) {
    this.#target = target;
  }

  /** The context points at its response, so it can only be tied on after both exist. */
  bind(context: RequestContext): void {
    this.#context = context;
  }

  get started(): boolean {
    return this.#target.started;
  }

  send(status: number, headers: HeaderMap, body: Uint8Array): void {
    this.sentBytes = body.byteLength;
    if (this.#context?.audit !== undefined) this.#context.audit.noteResponse(headers, body);
    this.#target.send(status, this.#complete(status, headers), body);
  }

  sendPieces(status: number, headers: HeaderMap, body: PiecedBody): void {
    if (this.#context?.audit?.wantsResponse === true) {
      this.send(status, headers, joinPieces(body));
      return;
    }
    this.sentBytes = body.byteLength;
    sendPieces(this.#target, status, this.#complete(status, headers), body);
  }

  stream(status: number, headers: HeaderMap): ResponseStream {
    return this.#target.stream(status, this.#complete(status, headers));
  }

  #complete(status: number, headers: HeaderMap): HeaderMap {
    const context = this.#context;
    if (context === undefined) return headers;
    context.statusCode = status;
    const { flow, onAnswer } = context;
    if (onAnswer !== undefined) {
      context.onAnswer = undefined;
      onAnswer();
    }
    const complete: Record<string, string | readonly string[]> = {
      'audit-id': context.auditId,
      'cache-control': 'no-cache, private',
      ...headers,
    };
    if (flow !== undefined && flow.schemaUid !== '') {
      complete['x-kubernetes-pf-flowschema-uid'] = flow.schemaUid;
      complete['x-kubernetes-pf-prioritylevel-uid'] = flow.levelUid;
    }
    if (context.warnings.length > 0) complete.warning = renderWarnings(context.warnings);
    return complete;
  }
}

/** `299 - "text"` per distinct warning; quotes and control characters are escaped so that no warning can forge a header. */
export function renderWarnings(warnings: readonly string[]): readonly string[] {
  const texts = [...new Set(warnings)].map((text) => [...text].map((char) => (isPlain(char) ? char : ' ')).join(''));
  const whole = texts.map(warningLine);
  if (whole.reduce((sum, line) => sum + line.length, 0) <= MAX_WARNINGS_BYTES) return whole;
  const lines: string[] = [];
  let bytes = 0;
  for (const text of texts) {
    const line = warningLine(text.slice(0, MAX_WARNING_CHARS));
    bytes += line.length;
    if (bytes > MAX_WARNINGS_BYTES) break;
    lines.push(line);
  }
  return lines;
}

const warningLine = (text: string): string => `299 - "${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;

const isPlain = (char: string) => char >= ' ' && char <= '~';
