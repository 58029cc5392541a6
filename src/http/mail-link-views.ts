import type { Words } from './locale.ts';

/** What a mailed link was for. */
export type LinkKind = keyof Words['mailLink']['done'];

export type NewPasswordError = keyof Words['newPassword']['errors'];

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
    kind: 'verify' | 'change';
    action: string;
    csrf: string;
    token: string;
    account: { label: string };
  };
  'link-done': { kind: LinkKind };
  'link-expired': { kind: LinkKind };
};
