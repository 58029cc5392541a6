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
export const isOfOneScript = (name: string): boolean => {
  const composed = name.normalize('NFKC');
  // Some of what nobody sees counts as a letter, such as the fillers of Hangul.
  return !/\p{Default_Ignorable_Code_Point}/u.test(name) && WRITTEN.some((written) => written.test(composed));
};
