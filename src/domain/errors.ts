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
  | 'client_exists'
  | 'invalid_client_metadata';

/** A failure the caller may be told about. Anything else thrown is a bug: log it, answer 500. */
export class DomainError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string = code) {
    super(message);
    this.name = 'DomainError';
    this.code = code;
  }
}
