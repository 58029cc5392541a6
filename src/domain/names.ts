// What names people: email addresses and usernames, how they are written, and when two of them are one.

/** The form uniqueness goes by: the same address or name in any letter case and any Unicode composition is one. */
export const keyOf = (text: string): string => text.trim().normalize('NFKC').toLowerCase();

// Deliberately loose (RFC 5321 allows more than any pattern shows): whether it is an address, a mail to it tells.
const EMAIL =
  /^[^\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}@<>()[\]\\,;:"]{1,64}@[^\s\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}@<>()[\]\\,;:"]{1,255}$/u;
// No @, so that a login name cannot be taken for somebody's address. Some of what nobody sees counts as a letter, such as Hangul's fillers.
const USERNAME = /^(?!.*\p{Default_Ignorable_Code_Point})[\p{L}\p{N}][\p{L}\p{N}._-]{0,63}$/u;

// The scripts in everyday use (UAX #31, table 5). A letter of any other is in no username.
const EVERYDAY = [
  ...['Arabic', 'Armenian', 'Bengali', 'Cyrillic', 'Devanagari', 'Ethiopic', 'Georgian', 'Greek', 'Gujarati'],
  ...['Gurmukhi', 'Hebrew', 'Kannada', 'Khmer', 'Lao', 'Latin', 'Malayalam', 'Myanmar', 'Oriya', 'Sinhala'],
  ...['Tamil', 'Telugu', 'Thaana', 'Thai', 'Tibetan'],
];
// What Japanese, Chinese and Korean are written in, with Latin beside it.
const TOGETHER = [
  ['Han', 'Hiragana', 'Katakana', 'Latin'],
  ['Han', 'Bopomofo', 'Latin'],
  ['Han', 'Hangul', 'Latin'],
];

const WRITTEN = [...EVERYDAY.map((script) => [script]), ...TOGETHER].map(
  (scripts) => new RegExp(`^[\\P{L}${scripts.map((script) => `\\p{Script_Extensions=${script}}`).join('')}]*$`, 'u'),
);

/**
 * Whether a name is written as people write: in one script, or in those that belong together. So no letter in it passes for one of
 * another script, as a Cyrillic а does for a Latin one.
 *
 * @see [UTS #39 §5.2](https://www.unicode.org/reports/tr39/#Restriction_Level_Detection), Highly Restrictive
 */
const isOfOneScript = (name: string): boolean => {
  const composed = name.normalize('NFKC');
  return WRITTEN.some((written) => written.test(composed));
};

export const isEmail = (text: string): boolean => EMAIL.test(text.trim()) && text.isWellFormed();
/** Whether it is written as a username is; one that somebody brings along need be no more. */
export const hasUsernameForm = (text: string): boolean => USERNAME.test(text);
export const isUsername = (text: string): boolean => hasUsernameForm(text) && isOfOneScript(text);

export const USERNAME_RULE =
  'a username has 1 to 64 letters, digits, dots, hyphens or underscores, starts with a letter or digit, and has letters of one script';
