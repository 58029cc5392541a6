// The mail room: messages and their transport. It knows addresses and templates, and nothing of accounts or stores.

/** Everything that is mailed. Links are absolute; times are said by the message itself. */
export type Message =
  /** Proves the address of a new account. */
  | { template: 'verify_email'; link: string; hours: number }
  /** To the new address: proves it before it takes effect. */
  | { template: 'confirm_email_change'; link: string; hours: number }
  /** To the old address, when a change is asked for and again when it is done. */
  | { template: 'email_change_requested'; newEmail: string }
  | { template: 'email_changed'; newEmail: string }
  | { template: 'reset_password'; link: string; minutes: number }
  | { template: 'password_changed' }
  /** An administrator made an account for the person, who has to choose a password. */
  | { template: 'invitation'; link: string; hours: number }
  | { template: 'deletion_scheduled'; date: string }
  | { template: 'deletion_cancelled' }
  /** Someone who has an account registered again with its address. */
  | { template: 'already_registered'; link: string }
  /** Too many wrong passwords. */
  | { template: 'sign_in_locked' }
  /** A spent refresh token was presented: its sign-in was ended. */
  | { template: 'token_reused'; app: string }
  /** An app waits for the person to approve something on their account page, where the link leads. */
  | { template: 'approval_requested'; app: string; link: string; minutes: number }
  /** Another provider, by its name, now signs in to the account, or does no longer; `name` is what the person is called there. */
  | { template: 'sign_in_method_added'; provider: string; name: string }
  | { template: 'sign_in_method_removed'; provider: string };

export type Recipient = { email: string; locale?: string | null | undefined };
