/**
 * The hosted pages as a browser gets them: whole, in both languages, with nothing an app chose able to become markup.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import Koa from 'koa';
import { type Locale, supportedLocales } from '../../src/http/locale.ts';
import {
  type AccountOutcome,
  type ClientCard,
  createPages,
  type LoginError,
  type NewPasswordError,
  type ProveError,
  type View,
  type ViewData,
} from '../../src/http/pages.ts';
import type { DeviceFault } from '../../src/oidc/features/decoupled.ts';

const views = new URL('../../views/', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, views), 'utf8');

const acme: ClientCard = {
  name: 'Acme Notes',
  logoUri: 'https://acme.example/logo.png',
  clientUri: 'https://acme.example/',
  policyUri: 'https://acme.example/privacy',
  tosUri: 'https://acme.example/terms',
  firstParty: false,
};
const login: ViewData['login'] = { action: '/interaction/1', csrf: 'csrf-1', cancelAction: '/interaction/1/cancel' };
const consent: ViewData['consent'] = {
  action: '/interaction/1',
  csrf: 'csrf-1',
  client: acme,
  account: { label: 'ada@example.com' },
  redirectHost: 'app.acme.example',
  scopes: [{ name: 'openid' }],
};

const newPassword: ViewData['new-password'] = {
  action: '/reset-password',
  csrf: 'csrf-1',
  token: 'token-1',
  account: { label: 'ada@example.com' },
  minLength: '8',
};

const approval = {
  client: acme,
  scopes: [{ name: 'openid' }, { name: 'some:scope' }],
  claims: [],
  resources: [{ name: 'Acme API', host: 'api.acme.example', scopes: [{ name: 'notes:read' }] }],
  details: [
    {
      title: { en: 'Make a payment', 'zh-CN': '付款' },
      host: 'api.acme.example',
      lines: [{ label: { en: 'Amount', 'zh-CN': '金额' }, value: '12.50 EUR' }],
    },
  ],
  place: { ip: '192.0.2.1', userAgent: '' },
  askedAt: new Date('2026-11-23T08:30:00Z'),
  expiresAt: new Date('2026-11-23T08:40:00Z'),
};

/** Every view with the most and the least that it can be given; /docs, which is for developers, has a test of its own. */
const everyPage: { [V in Exclude<View, 'docs'>]: ViewData[V][] } = {
  login: [
    login,
    {
      ...login,
      client: acme,
      login: 'ada',
      reauthenticate: true,
      forgotHref: '/forgot-password?interaction=abc',
      error: 'invalid_credentials',
      fieldErrors: { login: 'too_long', password: 'required' },
      providers: [{ id: 'github', label: 'GitHub', href: '/federation/github' }],
    },
  ],
  consent: [
    { ...consent, client: { name: 'Acme', firstParty: true }, scopes: [] },
    {
      ...consent,
      scopes: [
        'openid',
        'profile',
        'email',
        'address',
        'phone',
        'offline_access',
        'read:profile',
        'write:profile',
        'x:y',
      ].map((name) => ({ name })),
      claims: ['birthdate', 'constructor'],
      alreadyGranted: [{ name: 'openid' }],
      grantedResources: [{ name: 'Acme API', host: 'api.acme.example', scopes: [{ name: 'notes:read' }] }],
    },
  ],
  'select-account': [
    {
      action: '/interaction/1/account',
      cancelAction: '/interaction/1/cancel',
      csrf: 'csrf-1',
      client: acme,
      account: { label: 'ada@example.com' },
    },
  ],
  'ask-link': [
    { kind: 'reset', action: '/forgot-password', csrf: 'csrf-1' },
    { kind: 'reset', action: '/forgot-password', csrf: 'csrf-1', email: 'ada', error: 'required', interaction: 'abc' },
    { kind: 'verification', action: '/resend-verification', csrf: 'csrf-1' },
    ...(['reset', 'verification'] as const).map((kind) => ({
      kind,
      action: '/forgot-password',
      csrf: 'csrf-1',
      email: 'ada@example.com',
      sent: true,
    })),
  ],
  'new-password': [
    newPassword,
    ...(Object.keys(JSON.parse(read('locales/en.json')).newPassword.errors) as NewPasswordError[]).map((error) => ({
      ...newPassword,
      error,
    })),
  ],
  'prove-address': (['verify', 'change'] as const).flatMap((kind) => {
    const page = {
      kind,
      action: '/verify-email',
      csrf: 'csrf-1',
      token: 'token-1',
      account: { label: 'a@example.com' },
    };
    const errors = Object.keys(JSON.parse(read('locales/en.json')).proveAddress.errors) as ProveError[];
    return [
      { ...page, asksPassword: false },
      { ...page, asksPassword: true },
      ...errors.map((error) => ({ ...page, asksPassword: true, error })),
    ];
  }),
  'link-done': (['reset', 'verify', 'change'] as const).map((kind) => ({ kind })),
  'link-expired': (['reset', 'verify', 'change'] as const).map((kind) => ({ kind })),
  account: [
    {
      account: { label: 'ada@example.com' },
      csrf: 'csrf-1',
      hasPassword: true,
      identities: [],
      providers: [],
      approvals: [],
    },
    ...(Object.keys(JSON.parse(read('locales/en.json')).account.outcomes) as AccountOutcome[]).map((outcome) => ({
      account: { label: 'ada@example.com' },
      csrf: 'csrf-1',
      outcome,
      hasPassword: false,
      identities: [{ id: 'id-1', label: 'Google', name: 'ada@gmail.example' }],
      providers: [{ id: 'google', label: 'Google' }],
      approvals: [
        { ...approval, id: 'a1' },
        { ...approval, id: 'a2', bindingMessage: 'Till 4 · 12 €', claims: ['email'] },
      ],
    })),
  ],
  device: [
    { action: '/device', xsrf: 'xsrf-1' },
    { action: '/device', xsrf: 'xsrf-1', userCode: 'BCDF-GHJK' },
    ...(Object.keys(JSON.parse(read('locales/en.json')).device.errors) as DeviceFault[]).map((error) => ({
      action: '/device',
      xsrf: 'xsrf-1',
      userCode: 'BCDF-GHJK',
      error,
    })),
  ],
  'device-confirm': ['', 'TV/1.0'].map((userAgent) => ({
    action: '/device',
    xsrf: 'xsrf-1',
    userCode: 'BCDF-GHJK',
    client: acme,
    scopes: [{ name: 'openid' }],
    resources: [{ name: 'Acme Notes', host: 'notes.example', scopes: [{ name: 'notes:read' }] }],
    place: { ip: '192.0.2.1', userAgent },
  })),
  'device-done': [{ allowed: false }, { client: acme, allowed: true }],
  'provider-failed': (Object.keys(JSON.parse(read('locales/en.json')).login.errors) as LoginError[]).map((error) => ({
    provider: 'Google',
    error,
    backHref: '/login',
    providers:
      error === 'account_unavailable' ? [] : [{ id: 'acme', label: 'Acme', href: '/oauth/acme/login?a=b&c=d' }],
  })),
  logout: [
    { action: '/oauth/logout/confirm', xsrf: 'xsrf-1' },
    { action: '/oauth/logout/confirm', xsrf: 'xsrf-1', client: acme, account: { label: 'ada@example.com' } },
  ],
  'logged-out': [{}, { client: acme }, { stillSignedIn: true }, { client: acme, stillSignedIn: true }],
  error: [
    ...Object.keys(JSON.parse(read('locales/en.json')).error.codes).map((code) => ({ code, requestId: 'req-1' })),
    { code: '__proto__', description: 'detail', hint: 'hint', requestId: 'req-1' },
  ],
  'kept-mails': [{ mails: [] }],
  'kept-mail': [],
  home: [{ issuer: 'https://id.example.com', discoveryUrl: 'https://id.example.com/.well-known/openid-configuration' }],
};

const mail = {
  href: '/dev/mail/1',
  to: 'ada@example.com',
  subject: '设置新密码',
  locale: 'zh-CN',
  createdAt: new Date('2026-11-23T08:30:00Z'),
};
everyPage['kept-mails'].push({ mails: [mail, { ...mail, subject: 'Choose a new password', locale: 'en' }] });
everyPage['kept-mail'].push({
  mail,
  htmlHref: '/dev/mail/1/html',
  text: [{ text: '设置新密码\n\n' }, { text: 'https://id.example.com/x', href: 'https://id.example.com/x' }],
});

const pages = createPages({ issuer: 'https://id.example.com', cache: true });
let next: (ctx: Koa.Context) => void = () => {};
const app = new Koa().use((ctx) => next(ctx));
const server = createServer(app.callback());
let origin = '';

test.before(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
test.after.always(() => server.close());

async function get<V extends View>(
  view: V,
  data: ViewData[V],
  request: { language?: string; uiLocales?: string; status?: number } = {},
) {
  next = (ctx) => {
    ctx.state.uiLocales = request.uiLocales;
    if (request.status) ctx.status = request.status;
    pages.render(ctx, view, data);
  };
  const response = await fetch(origin, { headers: { 'Accept-Language': request.language ?? 'en' } });
  return { response, html: await response.text() };
}

async function* eachPage() {
  for (const language of supportedLocales) {
    for (const view of Object.keys(everyPage) as (keyof typeof everyPage)[]) {
      for (const data of everyPage[view]) yield { view, language, ...(await get(view, data, { language })) };
    }
  }
}

/** What a reader sees of the page. */
const textOf = (html: string): string => html.replace(/<[^>]*>/g, ' ').replace(/\s+/g, ' ');

const leaves = (node: object, path = ''): [string, string][] =>
  Object.entries(node).flatMap(([key, value]) =>
    typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : leaves(value, `${path}${key}.`),
  );

// One server answers for all of them, so they take turns.
const { serial } = test;

serial('every page renders in every language, complete and unstored', async (t) => {
  for await (const { view, language, response, html } of eachPage()) {
    const at = `${view} in ${language}`;
    t.true(html.startsWith('<!doctype html>'), at);
    t.regex(html, new RegExp(`<html lang="${language}">`), at);
    t.regex(html, /<title>[^<]*\S · User Auth<\/title>/, at);
    t.is(html.match(/<main>/g)?.length, 1, at);
    t.is(html.match(/<h1>/g)?.length, 1, at);
    t.is(response.headers.get('content-type'), 'text/html; charset=utf-8');
    t.is(response.headers.get('cache-control'), 'no-store');
    t.is(response.headers.get('content-language'), language);
    t.is(response.headers.get('vary'), 'Accept-Language');
  }
});

serial('no page carries a script, an inline style, or an event handler', async (t) => {
  for await (const { html } of eachPage()) {
    t.notRegex(html, /<script|<style|\sstyle=|\son[a-z]+=|javascript:/i);
    t.regex(html, /href="\/assets\/style\.css\?v=[\w-]{12}"/);
  }
});

serial('no page shows a missing word, an unfilled placeholder, or an undefined value', async (t) => {
  const sections = Object.keys(JSON.parse(read('locales/en.json'))).join('|');
  for await (const { html } of eachPage()) {
    t.notRegex(textOf(html), new RegExp(`\\b(?:${sections})\\.[a-z]\\w*\\.?[a-z]*\\b(?<!\\.example)`));
    t.notRegex(html, /\{\{|\}\}|undefined|\[object|NaN/);
  }
});

serial('ids are unique, and every label and description points at one', async (t) => {
  for await (const { html } of eachPage()) {
    const ids = [...html.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id);
    t.deepEqual(ids, [...new Set(ids)]);
    for (const [, id] of html.matchAll(/\s(?:for|aria-describedby|aria-labelledby)="([^"]+)"/g))
      t.true(ids.includes(id));
  }
});

test('the locales have the same keys, the same placeholders, and no markup', (t) => {
  const files = readdirSync(new URL('locales/', views));
  t.deepEqual(files.sort(), supportedLocales.map((locale) => `${locale}.json`).sort());
  const placeholders = (text: string) => (text.match(/\{\{\w+\}\}/g) ?? []).sort();
  const [english = [], ...others] = supportedLocales.map((locale) =>
    leaves(JSON.parse(read(`locales/${locale}.json`))),
  );
  for (const other of others) {
    t.deepEqual(
      other.map(([key]) => key),
      english.map(([key]) => key),
    );
    for (const [index, [key, text]] of other.entries()) {
      t.deepEqual(placeholders(text), placeholders(english[index]?.[1] ?? ''), key);
      t.notRegex(text + english[index]?.[1], /[<>&]|^$/, key);
    }
  }
});

test('every word that a template names exists', (t) => {
  const known = new Set(leaves(JSON.parse(read('locales/en.json'))).map(([key]) => key));
  for (const file of readdirSync(views).filter((name) => name.endsWith('.njk'))) {
    for (const [, key = ''] of read(file).matchAll(/\b(?:t|parts)\('([\w.]+\w)'[,)]/g))
      t.true(known.has(key), `${file}: ${key}`);
  }
});

serial('the hooks that automation relies on are there', async (t) => {
  const { html: loginPage } = await get('login', login);
  t.regex(loginPage, /<form method="post" action="\/interaction\/1"/);
  t.regex(loginPage, /<input[^>]* name="login"[^>]*autocomplete="username"/);
  t.regex(loginPage, /<input[^>]* name="password" type="password"[^>]*autocomplete="current-password"/);
  t.regex(loginPage, /<button[^>]* id="sign-in"/);
  t.regex(
    loginPage,
    /<form method="post" action="\/interaction\/1\/cancel"[^>]*>\s*<input[^>]*name="csrf"[^>]*>\s*<button[^>]*id="cancel"/,
  );
  t.is(loginPage.match(/<input type="hidden" name="csrf" value="csrf-1">/g)?.length, 2);

  const { html: consentPage } = await get('consent', consent);
  t.regex(consentPage, /<input type="hidden" name="csrf" value="csrf-1">/);
  t.regex(consentPage, /<button[^>]* id="allow" name="decision" value="allow"/);
  t.regex(consentPage, /<button[^>]* id="deny" name="decision" value="deny"/);

  const { html: logoutPage } = await get('logout', { action: '/oauth/logout/confirm', xsrf: 'xsrf-1' });
  t.regex(logoutPage, /<input type="hidden" name="xsrf" value="xsrf-1">/);
  t.regex(logoutPage, /<button[^>]* id="sign-out" name="logout" value="yes"/);
  t.regex(logoutPage, /<button[^>]* id="stay">/);
});

serial(
  'a failed sign-in keeps the login, never a password, and puts the cursor where the mending starts',
  async (t) => {
    // What a careless caller might spread into the data.
    const typed = { ...login, login: 'ada@example.com', error: 'invalid_credentials', password: 'hunter2' } as const;
    const { html } = await get('login', typed);
    t.regex(html, /name="login"[^>]* value="ada@example.com"/);
    t.false(html.includes('hunter2'));
    t.regex(html, /<title>Error: Sign in/);
    t.regex(html, /role="alert" id="form-error"/);
    t.regex(html, /<input id="password"[^>]* autofocus aria-invalid="true" aria-describedby="form-error">/);
    t.is(html.match(/ autofocus/g)?.length, 1);

    const { html: empty } = await get('login', { ...login, fieldErrors: { login: 'required', password: 'required' } });
    t.regex(empty, /<input id="login"[^>]* autofocus aria-invalid="true" aria-describedby="login-error">/);
    t.regex(empty, /<input id="password"[^>]* aria-invalid="true" aria-describedby="password-error">/);
  },
);

serial('what an app or a user typed is only ever text', async (t) => {
  const hostile = `"><script>alert(1)</script><img src=x onerror='alert(2)'>\`$t(home.title){{client}}`;
  const client = { ...acme, name: hostile };
  const card = { label: hostile };
  const answers = [
    await get('login', { ...login, client, login: hostile, csrf: hostile, action: hostile }),
    await get('consent', {
      ...consent,
      client,
      account: card,
      redirectHost: hostile,
      scopes: [{ name: hostile }, { name: 'a', text: hostile }],
      claims: [hostile],
    }),
    await get('logout', { action: hostile, xsrf: hostile, client, account: card }),
    await get('logged-out', { client, stillSignedIn: true }),
    await get('error', { code: hostile, description: hostile, hint: hostile, requestId: hostile }),
  ];
  for (const { html } of answers) {
    t.notRegex(html, /<script|<img src=x|onerror='/);
    t.true(html.includes('&quot;&gt;&lt;script&gt;'));
    // Neither i18next's nesting nor its placeholders reach into a value.
    t.true(html.includes('$t(home.title){{client}}'));
  }
});

serial('a logo shows only from https, or http on localhost; links lead only to the web', async (t) => {
  const logoOf = async (logoUri: string) =>
    (await get('consent', { ...consent, client: { name: 'Acme', firstParty: false, logoUri } })).html.match(
      /<span class="tile"[^>]*>\s*<img src="([^"]*)" alt="" width="48" height="48" referrerpolicy="no-referrer" data-initial="A">/,
    )?.[1];
  t.is(await logoOf('https://acme.example/l.png'), 'https://acme.example/l.png');
  t.is(await logoOf('http://localhost:3000/l.png'), 'http://localhost:3000/l.png');
  t.is(await logoOf('https://acme.example/"onload="x'), 'https://acme.example/%22onload=%22x');
  for (const uri of ['http://acme.example/l.png', 'http://localhost.acme.example/l.png'])
    t.is(await logoOf(uri), undefined);
  for (const uri of [
    'javascript:alert(1)',
    'JaVaScRiPt:alert(1)',
    'data:image/svg+xml,<svg onload=alert(1)>',
    'https://user:password@acme.example/l.png',
    '//acme.example/l.png',
    'l.png',
    '',
  ]) {
    t.is(await logoOf(uri), undefined, uri);
    const client = { name: 'Acme', firstParty: false, clientUri: uri, policyUri: uri, tosUri: uri };
    t.notRegex((await get('consent', { ...consent, client })).html, /<a\b/, uri);
    t.notRegex((await get('logged-out', { client })).html, /<a\b/, uri);
  }
});

serial('a name loses what reorders or hides its letters, and is never empty', async (t) => {
  const nameOf = async (name: string) =>
    (await get('login', { ...login, client: { name, firstParty: false } })).html.match(
      /<bdi class="client">(.*?)<\/bdi>/,
    )?.[1];
  t.is(await nameOf('\u202Eknab\u202C My\u2066 Bank\u2069\u200F'), 'knab My Bank');
  t.is(await nameOf('A\u200Bc\u200Dm\uFEFFe\u00AD \n\t Notes\u{E0041}'), 'Acme Notes');
  t.is(await nameOf('تطبيق'), 'تطبيق');
  t.is(await nameOf(`Z${'\u0301'.repeat(50)}`), `Z${'\u0301'.repeat(4)}`);
  for (const invisible of ['', '\u200B\u2060', '\u3164', '\u2800 \u00A0']) t.is(await nameOf(invisible), 'Unnamed app');
});

serial('consent says in words what each scope means, and names the scopes it has no words for', async (t) => {
  const scopes = ['email', 'calendar:read', 'constructor', 'a.b'].map((name) => ({ name }));
  const { html } = await get('consent', { ...consent, scopes: [...scopes, { name: 'x', text: 'Read your invoices' }] });
  const text = textOf(html);
  t.true(text.includes('See your email address'));
  t.true(text.includes('Read your invoices'));
  for (const name of ['calendar:read', 'constructor', 'a.b']) t.true(html.includes(`<code>${name}</code>`), name);
  t.true(text.includes('You will then be sent to app.acme.example'));
  t.true(text.includes('ada@example.com'));
});

serial(
  'the page for an unregistered redirect_uri names the fault, helps the developer, and links nowhere',
  async (t) => {
    for (const language of supportedLocales) {
      const description = 'https://evil.example/callback is not registered';
      const { response, html } = await get(
        'error',
        { code: 'invalid_redirect_uri', description, requestId: 'req-1' },
        { language, status: 400 },
      );
      t.is(response.status, 400);
      t.true(html.includes('Invalid redirect_uri'));
      t.true(html.includes('redirect_uri'));
      t.true(html.includes('req-1'));
      t.notRegex(html, /<a\b|<form\b|http-equiv/);
    }
  },
);

serial('an error code without words of its own still tells people what to do', async (t) => {
  const text = async (code: string) => textOf((await get('error', { code, requestId: 'req-1' })).html);
  t.true((await text('some_new_code')).includes('Something went wrong'));
  t.true((await text('some_new_code')).includes('some_new_code'));
  t.true((await text('interaction_expired')).includes('This sign-in took too long'));
});

serial('staying signed in is not called signed out', async (t) => {
  t.regex(textOf((await get('logged-out', {})).html), /You’re signed out/);
  const { html } = await get('logged-out', { client: acme, stillSignedIn: true });
  t.regex(textOf(html), /You’re still signed in to +User Auth/);
  t.notRegex(textOf(html), /You’re signed out/);
});

const languages: [title: string, expected: Locale, language: string, uiLocales?: string][] = [
  ['the browser’s first language', 'zh-CN', 'zh-CN,zh;q=0.9,en;q=0.8'],
  ['q-values over the order of mention', 'zh-CN', 'en;q=0.3, zh-Hans-CN;q=0.9'],
  ['a language ruled out by q=0', 'en', 'zh;q=0, en'],
  ['the next language when the first is not spoken here', 'zh-CN', 'fr, zh-Hans;q=0.5, en;q=0.2'],
  ['English when no language is spoken here', 'en', 'fr, de;q=0.5'],
  ['English for any language', 'en', '*'],
  ['the app’s ui_locales before the browser', 'zh-CN', 'en', 'fr-CA zh'],
  ['ui_locales in any case', 'en', 'zh-CN', 'EN-gb'],
  ['the browser when ui_locales names nothing known', 'zh-CN', 'zh', 'fr  de x-klingon'],
];
for (const [title, expected, language, uiLocales] of languages) {
  serial(`language: ${title}`, async (t) => {
    const { response } = await get('logged-out', {}, { language, uiLocales });
    t.is(response.headers.get('content-language'), expected);
  });
}

test('the colours meet WCAG AA in light and dark', (t) => {
  const css = read('assets/style.css');
  const palette = (block = '') =>
    new Map([...block.matchAll(/(--[\w-]+): (#\w+);/g)].map(([, name, value]) => [name, value]));
  const [light, dark] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, block]) => palette(block));
  const luminance = (hex: string) => {
    const full = hex.length === 4 ? hex.replace(/[^#]/g, '$&$&') : hex;
    const [r = 0, g = 0, b = 0] = [1, 3, 5]
      .map((at) => Number.parseInt(full.slice(at, at + 2), 16) / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (const [scheme, colours] of Object.entries({ light, dark })) {
    const contrast = (one: string, other: string) => {
      const [low = 0, high = 0] = [one, other].map((name) => luminance(colours?.get(name) ?? '')).sort((a, b) => a - b);
      return (high + 0.05) / (low + 0.05);
    };
    for (const ground of ['--page', '--card', '--sunk']) {
      for (const ink of ['--ink', '--muted', '--accent'])
        t.true(contrast(ink, ground) >= 4.5, `${scheme}: ${ink} on ${ground}`);
    }
    for (const ink of ['--muted', '--ink']) t.true(contrast(ink, '--ring') >= 4.5, `${scheme}: ${ink} on the rings`);
    for (const ground of ['--card', '--danger-sunk']) t.true(contrast('--danger', ground) >= 4.5, `${scheme}: danger`);
    for (const button of ['--accent', '--accent-over'])
      t.true(contrast('--on-accent', button) >= 4.5, `${scheme}: button`);
    t.true(contrast('--edge', '--card') >= 3, `${scheme}: edge of a field`);
  }
});

test('the stylesheet is small and asks nobody else for anything', (t) => {
  const css = read('assets/style.css');
  t.true(Buffer.byteLength(css) < 14 * 1024);
  t.notRegex(css, /@import|url\(|@font-face/);
});
