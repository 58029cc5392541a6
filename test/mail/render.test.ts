import test from 'ava';
import type { Message } from '../../src/mail/messages.ts';
import { type MailLocale, mailLocaleOf, mailWords, type Rendered, render } from '../../src/mail/render.ts';

const link = 'https://id.example.com/verify-email?token=abc&x=1';
const sender = { appName: 'User Auth', host: 'id.example.com' };
const every: { [T in Message['template']]: Extract<Message, { template: T }> } = {
  verify_email: { template: 'verify_email', link, hours: 24 },
  confirm_email_change: { template: 'confirm_email_change', link, hours: 1 },
  email_change_requested: { template: 'email_change_requested', newEmail: 'new@example.com' },
  email_changed: { template: 'email_changed', newEmail: 'new@example.com' },
  reset_password: { template: 'reset_password', link, minutes: 30 },
  password_changed: { template: 'password_changed' },
  invitation: { template: 'invitation', link, hours: 72 },
  deletion_scheduled: { template: 'deletion_scheduled', date: '2026-12-07T10:00:00.000Z' },
  deletion_cancelled: { template: 'deletion_cancelled' },
  already_registered: { template: 'already_registered', link },
  sign_in_locked: { template: 'sign_in_locked' },
  token_reused: { template: 'token_reused', app: 'Acme Notes' },
  approval_requested: { template: 'approval_requested', app: 'Acme Notes', link, minutes: 10 },
  sign_in_method_added: { template: 'sign_in_method_added', provider: 'Google', name: 'ada@example.com' },
  sign_in_method_removed: { template: 'sign_in_method_removed', provider: 'Acme Staff' },
};
const messages: Message[] = Object.values(every);
const locales: MailLocale[] = ['en', 'zh-CN'];

const leaves = (node: object, path = ''): [string, string][] =>
  Object.entries(node).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : leaves(value, `${path}${key}.`),
  );

/** What a reader sees of the HTML. */
const seen = (html: string): string =>
  html
    .replace(/<title>.*<\/title>|<\/?bdi>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&amp;', '&')
    .replace(/\s+/g, ' ');

const each = function* (): Generator<[Message, MailLocale, Rendered]> {
  for (const locale of locales)
    for (const message of messages) yield [message, locale, render(message, locale, sender)];
};

test('every message is written in every language, as text and as HTML that say the same', (t) => {
  for (const [message, locale, { subject, text, html, ...rendered }] of each()) {
    const at = `${message.template} in ${locale}`;
    t.is(rendered.locale, locale, at);
    t.true(subject.length > 0 && subject.length <= 50, at);
    t.regex(html, new RegExp(`^<!doctype html>\n<html lang="${locale}">`), at);
    t.notRegex(text + html, /\{\{|\}\}|undefined|null|NaN|\[object/, at);
    for (const line of text.split('\n').filter((line) => line !== '-- ' && line !== ''))
      t.true(seen(html).includes(line.replace(/:$/, '')), `${at}: ${line}`);
    t.is(text.includes(link), 'link' in message, at);
    t.is(
      html.match(/<a href="https:\/\/id\.example\.com\/verify-email\?token=abc&amp;x=1"/g)?.length ?? 0,
      'link' in message ? 2 : 0,
      at,
    );
    t.true(text.includes('id.example.com') && /\p{Script=Han}/u.test(text) === (locale === 'zh-CN'), at);
  }
});

test('the languages have the same keys and values, and no markup', (t) => {
  const placeholders = (text: string) => (text.match(/\{\{\w+\}\}/g) ?? []).sort();
  const english = new Map(leaves(mailWords.en));
  t.deepEqual(
    leaves(mailWords['zh-CN']).map(([key]) => key),
    [...english.keys()],
  );
  for (const [key, text] of leaves(mailWords['zh-CN'])) {
    t.deepEqual(
      placeholders(text).filter((one) => one !== '{{host}}'),
      placeholders(english.get(key) ?? '').filter((one) => one !== '{{host}}'),
      key,
    );
    t.notRegex(text + english.get(key), /[<>&]|^$/, key);
  }
  // A value in a header would be the start of an injection.
  for (const [key, text] of english) if (key.endsWith('.subject')) t.deepEqual(placeholders(text), [], key);
});

test('Chinese mails address people as the pages do, and call an account by one word', (t) => {
  for (const [key, text] of leaves(mailWords['zh-CN'])) t.notRegex(text, /你|账户/, key);
});

test('a button has a link to lead to, and a link has its button', (t) => {
  for (const message of messages)
    t.is(mailWords.en.messages[message.template].button !== undefined, 'link' in message, message.template);
});

test('times are said in words', (t) => {
  t.regex(render(every.verify_email, 'en', sender).text, /works for 24 hours\./);
  t.regex(render(every.confirm_email_change, 'en', sender).text, /works for 1 hour\./);
  t.regex(render(every.reset_password, 'zh', sender).text, /在30\s?分钟内有效/);
  const link = 'https://id.example.com/reset-password?token=x';
  for (const [locale, words] of Object.entries({ en: /within 7 days/, zh: /在7\s?天内有效/ }))
    t.regex(render({ template: 'invitation', link, hours: 168 }, locale, sender).text, words);
  t.regex(render(every.deletion_scheduled, 'en', sender).text, /on December 7, 2026,/);
  t.regex(render(every.deletion_scheduled, 'zh', sender).text, /2026年12月7日/);
  t.regex(render({ template: 'deletion_scheduled', date: 'next week' }, 'en', sender).text, /on next week,/);
});

test('Chinese goes to those who read simplified script, English to everybody else', (t) => {
  for (const locale of ['zh', 'zh-CN', 'zh-Hans', 'zh-Hans-CN', 'ZH-cn', 'zh_CN', 'zh-Hans-SG'])
    t.is(mailLocaleOf(locale), 'zh-CN', locale);
  for (const locale of ['en', 'de', 'zh-TW', 'zh-Hant', 'zho', 'xzh', '', null, undefined, '__proto__'])
    t.is(mailLocaleOf(locale), 'en', String(locale));
});

test('what an app or a user is called is only ever text on its line', (t) => {
  const hostile = `"><script>alert(1)</script>\r\nBcc: eve@example.com\r\n\r\n<img src=x onerror='x'>&\u202Egnp\u200B{{host}}`;
  for (const message of [
    { template: 'token_reused', app: hostile },
    { template: 'sign_in_method_added', provider: hostile, name: hostile },
    { template: 'sign_in_method_removed', provider: hostile },
    { template: 'email_changed', newEmail: hostile },
    { template: 'email_change_requested', newEmail: hostile },
    { template: 'deletion_scheduled', date: hostile },
  ] satisfies Message[]) {
    const { subject, text, html } = render(message, 'en', sender);
    t.false(subject.includes('script'));
    t.notRegex(html, /<script|<img|onerror='|[\u202E\u200B]/);
    t.true(html.includes('&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt; Bcc: eve@example.com &lt;img'));
    t.notRegex(text, /^Bcc|[\u202E\u200B\r]/m);
    t.true(html.includes('gnp{{host}}'), 'a value is not filled in again');
  }
  const long = render({ template: 'token_reused', app: 'x'.repeat(10_000) }, 'en', sender);
  t.true(long.text.length < 2_000);
});

test('a link leads to the web or there is no mail', (t) => {
  for (const bad of ['javascript:alert(1)', 'data:text/html,x', '/relative', ''])
    t.throws(() => render({ template: 'reset_password', link: bad, minutes: 30 }, 'en', sender), undefined, bad);
  const quoted = render(
    { template: 'reset_password', link: 'https://a.test/"onclick="x\r\nX', minutes: 30 },
    'en',
    sender,
  );
  t.notRegex(quoted.html, /"onclick="/);
});
