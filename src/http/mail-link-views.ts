import type { Words } from './locale.ts';

/** What a mailed link was for. */
export type LinkKind = keyof Words['mailLink']['done'];

export type NewPasswordError = keyof Words['newPassword']['errors'];

export type ProveKind = 'verify' | 'change';
export type ProveError = keyof Words['proveAddress']['errors'];

/** The pages around links in mails: asking for one, using it, and what came of it. */
export type MailLinkViews = {
  'ask-link': {
    kind: keyof Words['askLink'];
    action: string;
    csrf: string;
    /** What was typed. */
    email?: string;
    error?: keyof Words['askLinkErrors'];
    /** The answer, which is the same for every address. */
    sent?: boolean;
    /** The sign-in that the person came from. */
    interaction?: string;
  };
  'new-password': {
    action: string;
    csrf: string;
    token: string;
    account: { label: string };
    minLength: string;
    error?: NewPasswordError;
  };
  /** Following a link must change nothing: mail scanners do. The button does. */
  'prove-address': {
    kind: ProveKind;
    action: string;
    csrf: string;
    token: string;
    account: { label: string };
    /** Nobody is signed in to the account here: its password shows who it is. */
    asksPassword: boolean;
    error?: ProveError;
  };
  'link-done': { kind: LinkKind };
  'link-expired': { kind: LinkKind };
};
