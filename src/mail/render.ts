import en from '../../views/mail/en.json' with { type: 'json' };
import zhCN from '../../views/mail/zh-CN.json' with { type: 'json' };
import { htmlLetter, type Letter, type Part } from './html-letter.ts';
import type { Message } from './messages.ts';

export type MailLocale = 'en' | 'zh-CN';

/** The words of one message. `{{placeholders}}` stand for its values; a subject has none, so that no value reaches a header. */
type Wording = { subject: string; text: string[]; button?: string; notes: string[] };
/** A locale file of views/mail; one that lacks a message or a word does not compile. */
export type MailWords = { linkHint: string; automatic: string; messages: Record<Message['template'], Wording> };

export const mailWords: Record<MailLocale, MailWords> = { en, 'zh-CN': zhCN };

/** Who the mails are from. */
export type Sender = { appName: string; host: string };

/** A message as it is read. */
export type Rendered = { locale: MailLocale; subject: string; text: string; html: string };

/** The language of a mail: Chinese in simplified script for those who have it, else English. */
export const mailLocaleOf = (locale: string | null | undefined): MailLocale =>
  /^zh([-_](hans|cn)([-_]\w+)*)?$/i.test(locale ?? '') ? 'zh-CN' : 'en';

/** A value as one line: nothing in it that is not seen, or that reorders or breaks what is around it. */
const oneLine = (value: string): string =>
  value
    .replace(/[\s\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '')
    .replace(/(\p{M}{4})\p{M}+/gu, '$1')
    .trim()
    .slice(0, 254)
    .toWellFormed();

const amount = (locale: MailLocale, value: number, unit: 'day' | 'hour' | 'minute'): string =>
  new Intl.NumberFormat(locale, { style: 'unit', unit, unitDisplay: 'long' }).format(value);

/** Nobody reckons in hours past two days. */
const hoursOrDays = (locale: MailLocale, hours: number): string =>
  hours > 48 && hours % 24 === 0 ? amount(locale, hours / 24, 'day') : amount(locale, hours, 'hour');

const day = (locale: MailLocale, date: string): string => {
  const time = Date.parse(date);
  return Number.isNaN(time)
    ? date
    : new Intl.DateTimeFormat(locale, { dateStyle: 'long', timeZone: 'UTC' }).format(time);
};

const valuesOf = (message: Message, locale: MailLocale, host: string): Record<string, string> => ({
  host,
  ...('hours' in message && { time: hoursOrDays(locale, message.hours) }),
  ...('minutes' in message && { time: amount(locale, message.minutes, 'minute') }),
  ...('date' in message && { date: day(locale, message.date) }),
  ...('newEmail' in message && { newEmail: message.newEmail }),
  ...('app' in message && { app: message.app }),
  ...('provider' in message && { provider: message.provider }),
  ...('name' in message && { name: message.name }),
});

const partsOf = (sentence: string, values: Record<string, string>): Part[] =>
  sentence
    .split(/\{\{(\w+)\}\}/)
    .map((text, index) => (index % 2 ? { text: oneLine(values[text] ?? ''), isValue: true } : { text, isValue: false }))
    .filter(({ text }) => text !== '');

/** @throws {TypeError} for anything but an absolute http(s) URL. */
const webLink = (link: string): string => {
  const { protocol, href } = new URL(link);
  if (protocol !== 'https:' && protocol !== 'http:') throw new TypeError('not a web link');
  return href;
};

const plain = (parts: Part[]): string => parts.map(({ text }) => text).join('');

const textLetter = ({ subject, text, button, notes, footer }: Letter): string =>
  [
    subject,
    ...text.map(plain),
    ...(button ? [`${button.label}:\n${button.link}`] : []),
    ...notes.map(plain),
    // What follows this line is a signature to mail programs (RFC 3676 §4.3).
    `-- \n${footer.join('\n')}`,
  ].join('\n\n');

/** The message in the recipient's language, as text and as HTML that say the same. */
export const render = (message: Message, recipientLocale: string | null | undefined, sender: Sender): Rendered => {
  const locale = mailLocaleOf(recipientLocale);
  const words = mailWords[locale];
  const { subject, text, button, notes } = words.messages[message.template];
  const values = valuesOf(message, locale, sender.host);
  const letter: Letter = {
    locale,
    appName: sender.appName,
    subject,
    text: text.map((sentence) => partsOf(sentence, values)),
    ...(button !== undefined &&
      'link' in message && { button: { label: button, link: webLink(message.link), hint: words.linkHint } }),
    notes: notes.map((sentence) => partsOf(sentence, values)),
    footer: [`${sender.appName} · ${sender.host}`, words.automatic],
  };
  return { locale, subject, text: textLetter(letter), html: htmlLetter(letter) };
};
