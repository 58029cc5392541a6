// The domain room: the rules of accounts, passwords and secrets. No HTTP, no SQL; stores arrive as arguments.

/** What can go wrong in a way the caller may be told about. */
export type ErrorCode =
  | 'invalid_email'
  | 'invalid_username'
  | 'invalid_role'
  | 'email_taken'
  | 'username_taken'
  | 'password_too_short'
  | 'password_too_long'
  | 'unknown_user'
  | 'invalid_credentials'
  | 'too_many_attempts'
  | 'invalid_refresh_token'
  | 'too_many_api_keys'
  | 'unknown_api_key'
  | 'client_exists'
  | 'invalid_client_metadata'
  | 'invalid_one_time_token'
  | 'last_admin'
  | 'own_account'
  | 'user_banned'
  | 'beyond_own_role'
  | 'unknown_client'
  | 'built_in_client'
  | 'client_without_secret'
  | 'resource_exists'
  | 'unknown_resource'
  | 'invalid_resource'
  | 'password_too_common'
  | 'unknown_session'
  | 'unknown_app'
  | 'unknown_approval'
  | 'too_busy'
  | 'unknown_provider'
  | 'invalid_return_to'
  | 'invalid_code_challenge'
  | 'account_exists'
  | 'wrong_account'
  | 'stale_sign_in'
  | 'identity_without_email'
  | 'identity_taken'
  | 'email_not_verified'
  | 'unknown_identity'
  | 'last_way_in'
  | 'password_not_set'
  | 'unknown_initial_access_token'
  | 'too_many_initial_access_tokens';

/** A failure the caller may be told about. Anything else thrown is a bug: log it, answer 500. */
export class DomainError extends Error {
  readonly code: ErrorCode;
  /** When trying again may help. */
  readonly retryAfterSeconds: number | undefined;
  /** What else is wrong with the same request. */
  others: DomainError[] = [];

  constructor(code: ErrorCode, message: string = code, retryAfterSeconds?: number) {
    super(message);
    this.retryAfterSeconds = retryAfterSeconds;
    this.name = 'DomainError';
    this.code = code;
  }
}

/** Runs every check, and throws what all of them find as one. */
export const checkAll = async (...checks: (() => unknown)[]): Promise<void> => {
  const found: DomainError[] = [];
  for (const check of checks)
    try {
      await check();
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      found.push(error, ...error.others);
    }
  const [first, ...others] = found;
  if (!first) return;
  first.others = others;
  throw first;
};
