import type { JsonObject } from '#api/object/json.ts';
import { CelBudgetError, CelEvaluationError } from '../../cel/values/evaluation-error.ts';
import type { UserInfo } from '../../chain/request-context.ts';
import type { JwtIssuer, Mapping } from './authentication-configuration.ts';
import { type ClaimExpression, evaluateClaims } from './claim-expressions.ts';

/** The claims do not make a user: `message` says why, to the administrator and never to the client. */
export class ClaimsRefused extends Error {
  override readonly name = 'ClaimsRefused';
}

const refuse = (message: string): never => {
  throw new ClaimsRefused(message);
};

function ask(expression: ClaimExpression, about: 'claims' | 'user', value: unknown): unknown {
  try {
    return evaluateClaims(expression, about, value);
  } catch (err) {
    if (!(err instanceof CelEvaluationError || err instanceof CelBudgetError)) throw err;
    return refuse(`expression '${expression.source}' resulted in error: ${err.message}`);
  }
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string');

/** Null and empty strings are no value, a string is a list of one. */
function textsOf(value: unknown, what: string): readonly string[] {
  if (value === null || value === undefined || value === '') return [];
  if (typeof value === 'string') return [value];
  return isTexts(value) ? value.filter((one) => one !== '') : refuse(`${what} must be a string or a list of strings`);
}

function checkClaims({ claimValidationRules }: JwtIssuer, claims: JsonObject): void {
  for (const rule of claimValidationRules) {
    if ('claim' in rule) {
      if (claims[rule.claim] === undefined) refuse(`required claim ${rule.claim} not present in ID token`);
      if (claims[rule.claim] !== rule.requiredValue) {
        refuse(
          `required claim ${rule.claim} value does not match. Got = ${claims[rule.claim]}, want = ${rule.requiredValue}`,
        );
      }
    } else if (ask(rule.expression, 'claims', claims) !== true) {
      refuse(`validation expression '${rule.expression.source}' failed${rule.message && `: ${rule.message}`}`);
    }
  }
}

function usernameOf({ username }: JwtIssuer, claims: JsonObject): string {
  if ('expression' in username) {
    const name = ask(username.expression, 'claims', claims);
    return typeof name === 'string' && name !== '' ? name : refuse('the username is empty or no string');
  }
  const name = claims[username.claim];
  if (typeof name !== 'string' || name === '') return refuse(`claim ${username.claim} is missing or no string`);
  // An address that was never verified can be anybody's; issuers that verify all of them do not say so.
  if (username.claim === 'email' && claims.email_verified !== undefined && claims.email_verified !== true) {
    refuse('email not verified');
  }
  return username.prefix + name;
}

function groupsOf(groups: Mapping | undefined, claims: JsonObject): readonly string[] {
  if (groups === undefined) return [];
  if ('expression' in groups) return textsOf(ask(groups.expression, 'claims', claims), 'groups');
  return textsOf(claims[groups.claim], `claim ${groups.claim}`).map((group) => groups.prefix + group);
}

function uidOf(uid: Mapping | undefined, claims: JsonObject): string {
  if (uid === undefined) return '';
  const value = 'expression' in uid ? ask(uid.expression, 'claims', claims) : claims[uid.claim];
  return typeof value === 'string' ? value : refuse('the uid is no string');
}

function extraOf({ extra }: JwtIssuer, claims: JsonObject): Record<string, readonly string[]> {
  const values = extra.map(({ key, expression }) => [key, textsOf(ask(expression, 'claims', claims), key)] as const);
  return Object.fromEntries(values.filter(([, texts]) => texts.length > 0));
}

/** The user behind claims whose signature, issuer, audience and times hold. Throws ClaimsRefused. */
export function userOfClaims(issuer: JwtIssuer, claims: JsonObject): UserInfo {
  checkClaims(issuer, claims);
  const [username, groups, uid] = [
    usernameOf(issuer, claims),
    groupsOf(issuer.groups, claims),
    uidOf(issuer.uid, claims),
  ];
  const extra = extraOf(issuer, claims);
  if (typeof claims.jti === 'string') extra['authentication.kubernetes.io/credential-id'] = [`JTI=${claims.jti}`];
  for (const { expression, message } of issuer.userValidationRules) {
    if (ask(expression, 'user', { username, uid, groups, extra }) === true) continue;
    refuse(`user validation expression '${expression.source}' failed${message && `: ${message}`}`);
  }
  return {
    name: username,
    ...(uid === '' ? {} : { uid }),
    groups: [...groups, 'system:authenticated'],
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  };
}
