import { isUsername } from './accounts.ts';

type Told = { username?: string | undefined; email?: string | undefined; name?: string | undefined };

const BASE_LENGTH = 40;

/** A username to begin with, of what the provider says. */
export const derivedUsername = ({ username, email, name }: Told): string => {
  // A username at the provider may be an address.
  const wishes = [username, email, name].map((text) =>
    (text ?? '')
      .replace(/@.*/u, '')
      .normalize('NFKC')
      .replace(/\s+/gu, '.')
      .replace(/[^\p{L}\p{N}._-]+/gu, '')
      .replace(/^[._-]+/u, '')
      .slice(0, BASE_LENGTH)
      .toWellFormed()
      .replace(/[^\p{L}\p{N}._-]+/gu, ''),
  );
  return wishes.find(isUsername) ?? 'user';
};
