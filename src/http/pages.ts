/**
 * The hosted pages: what each view is given, and how it is rendered.
 * Everything an app chose (name, logo, links) is hostile until it has passed `presentClient`; the templates only hold markup.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type Koa from 'koa';
import nunjucks from 'nunjucks';
import type { DeviceFault, Place } from '../oidc/features/decoupled.ts';
import { type Locale, localeOf, sentenceOf, translatorOf, type Words, words } from './locale.ts';
import type { MailLinkViews } from './mail-link-views.ts';

/** An app as its registration describes it; nothing in it is trusted. */
export type ClientCard = {
  name: string;
  logoUri?: string;
  clientUri?: string;
  policyUri?: string;
  tosUri?: string;
  /** How to reach its people, as it says itself. */
  contacts?: readonly string[];
  /** Run by the same people as this service. */
  firstParty: boolean;
  /** Nobody here has looked at it: what it says of itself may be anything. */
  unverified?: boolean;
  /** It is known by this address of its own, and by nothing else. */
  address?: string;
  /** Its answers go to the person's own machine alone, where any program could pass for it. */
  localOnly?: boolean;
};

export type { LinkKind, NewPasswordError, ProveError, ProveKind } from './mail-link-views.ts';
export type LoginError = keyof Words['login']['errors'];
export type AccountOutcome = keyof Words['account']['outcomes'];
export type FieldError = keyof Words['login']['fieldErrors']['login'];
/** `text` replaces the words the locales have for the scope; a scope with neither shows its name. */
export type ScopeLine = { name: string; text?: string | undefined };
/** An API, and what is asked for there; the words are its own. */
type Told = { en: string; 'zh-CN'?: string | undefined };
export type DetailLine = { title: Told; host: string; lines: { label: Told; value: string }[] };
export type ResourceLine = {
  name: string;
  host: string;
  scopes: { name: string; description?: { en: string; 'zh-CN'?: string | undefined } | undefined }[];
};

export type ViewData = MailLinkViews & {
  login: {
    action: string;
    csrf: string;
    cancelAction?: string;
    /** What was typed, or the app's login_hint. */
    login?: string;
    error?: LoginError;
    /** The provider that the error is about. */
    errorProvider?: string;
    fieldErrors?: { login?: FieldError; password?: FieldError };
    client?: ClientCard;
    /** The user has a session and is asked to confirm it is them. */
    reauthenticate?: boolean;
    /** Where a forgotten password is replaced. */
    forgotHref?: string;
    /** Other ways to sign in. */
    providers?: { id: string; label: string; href: string }[];
  };
  'select-account': {
    action: string;
    cancelAction: string;
    csrf: string;
    client: ClientCard;
    /** Who is signed in here already. */
    account: { label: string };
  };
  consent: {
    action: string;
    csrf: string;
    client: ClientCard;
    account: { label: string };
    /** Host that the answer goes to; none when the app runs on another device. */
    redirectHost: string | undefined;
    scopes: ScopeLine[];
    /** Single claims asked for by name, beyond what the scopes carry. */
    claims?: string[];
    /** What is asked for at other APIs. */
    resources?: ResourceLine[];
    /** What is asked for there in detail. */
    details?: DetailLine[];
    alreadyGranted?: ScopeLine[];
    /** … and at other APIs. */
    grantedResources?: ResourceLine[];
  };
  /** Where the code that another device shows is typed. */
  device: { action: string; xsrf: string; userCode?: string | undefined; error?: DeviceFault | undefined };
  'device-confirm': {
    action: string;
    xsrf: string;
    userCode: string;
    client: ClientCard;
    scopes: ScopeLine[];
    /** What is asked for at other APIs. */
    resources: ResourceLine[];
    place: Place;
  };
  'device-done': { client?: ClientCard | undefined; allowed: boolean };
  logout: { action: string; xsrf: string; client?: ClientCard; account?: { label: string } };
  'logged-out': {
    client?: ClientCard;
    /** The user chose to stay: only the app's own session has ended. */
    stillSignedIn?: boolean;
  };
  error: {
    /** OAuth or own error code; the words come from the locales. */
    code: string;
    /** Words other than those of the code, where it means something else to the person. */
    words?: ErrorWords;
    /** Technical detail, in English. */
    description?: string;
    /** What the app's developer can do, in English. */
    hint?: string;
    requestId: string;
  };
  home: { issuer: string; discoveryUrl: string };
  docs: Record<never, never>;
  /** Where the direct way to sign in ends. */
  account: {
    account: { label: string };
    csrf: string;
    /** What came of the form that was sent. */
    outcome?: AccountOutcome | undefined;
    /** What was added by it. */
    added?: { label: string; name: string } | undefined;
    hasPassword: boolean;
    identities: { id: string; label: string; name: string }[];
    providers: { id: string; label: string }[];
    /** What apps wait for the person to approve. */
    approvals: ApprovalCard[];
  };
  /** Another provider did not sign somebody in, and there is no form to say it on. */
  'provider-failed': {
    provider: string;
    error: LoginError;
    backHref: string;
    /** Others that may sign them in to the same end. */
    providers: { id: string; label: string; href: string }[];
  };
  /** Development only: what would have been mailed. */
  'kept-mails': { mails: KeptMail[] };
  'kept-mail': {
    mail: KeptMail;
    /** Where its HTML is. */
    htmlHref: string;
    /** Its text, cut at its links. */
    text: { text: string; href?: string }[];
  };
};
export type ApprovalCard = {
  id: string;
  client: ClientCard;
  scopes: ScopeLine[];
  claims: string[];
  resources: ResourceLine[];
  /** What is asked for there in detail. */
  details: DetailLine[];
  /** The app's own words, to be compared with what it shows elsewhere. */
  bindingMessage?: string | undefined;
  place: Place;
  askedAt: Date;
  expiresAt: Date;
};
export type KeptMail = { href: string; to: string; subject: string; locale: string; createdAt: Date };
export type View = keyof ViewData;

export type ErrorWords = keyof Words['error']['codes'];

/** Codes that tell the person the same as another code does. */
const sameWords: ReadonlyMap<string, ErrorWords> = new Map([
  ['interaction_expired', 'session_expired'],
  ['unauthorized_client', 'invalid_request'],
  ['unsupported_response_type', 'invalid_request'],
  ['unsupported_response_mode', 'invalid_request'],
  ['invalid_scope', 'invalid_request'],
  ['invalid_target', 'invalid_request'],
  ['invalid_request_object', 'invalid_request'],
  ['invalid_request_uri', 'invalid_request'],
  ['request_not_supported', 'invalid_request'],
  ['request_uri_not_supported', 'invalid_request'],
  ['rate_limited', 'too_many_requests'],
  ['too_many_attempts', 'too_many_requests'],
  ['invalid_return_to', 'invalid_request'],
]);

/** Characters that are not seen or that reorder their neighbours: they let a name pass for another one. */
const unseen = /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\u2800]/gu;

/** One line of text without bidi controls, zero-width characters, or towers of combining marks. */
const plainText = (text: string): string =>
  text
    .replace(/[\t-\r\p{Zl}\p{Zp}]/gu, ' ')
    .replace(unseen, '')
    .replace(/\s+/gu, ' ')
    .replace(/(\p{M}{4})\p{M}+/gu, '$1')
    .trim();

/** `uri` when a person may follow it: an absolute http(s) URL that carries no credentials. */
function webLink(uri: string | undefined): URL | undefined {
  const url = uri === undefined ? null : URL.parse(uri);
  if (!url || url.username || url.password) return undefined;
  return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined;
}

/** `uri` when a page may show it as an image: https, or http on localhost while developing. */
function imageLink(uri: string | undefined, unverified: boolean): URL | undefined {
  const url = webLink(uri);
  if (url?.protocol === 'https:') return url;
  // What somebody unknown names must not be asked of the person's own machine.
  return url?.hostname === 'localhost' && !unverified ? url : undefined;
}

/** Addresses that a person may write to; what is shown is text, not a link. */
const mailboxes = (contacts: readonly string[] = []): string[] =>
  contacts
    .map(plainText)
    .filter((one) => /^[^\s@<>]{1,64}@[^\s@<>]{1,190}$/.test(one))
    .slice(0, 2);

const graphemes = new Intl.Segmenter();

function presentClient(client: ClientCard, unnamed: string) {
  const name = plainText(client.name) || unnamed;
  const site = webLink(client.clientUri);
  return {
    name,
    firstParty: client.firstParty,
    initial: graphemes.segment(name).containing(0)?.segment.toLocaleUpperCase(),
    logoUri: imageLink(client.logoUri, client.unverified === true)?.href,
    contacts: mailboxes(client.contacts).join(', '),
    unverified: client.unverified === true,
    addressHost: webLink(client.address)?.host,
    localOnly: client.localOnly === true,
    clientUri: site?.href,
    clientHost: site?.host,
    policyUri: webLink(client.policyUri)?.href,
    tosUri: webLink(client.tosUri)?.href,
  };
}

/** What every template can call for its words. */
const wordsOf = (locale: Locale) => ({
  t: translatorOf(locale),
  // With its zone, which is the server's.
  time: (date: Date) => new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'long' }).format(date),
  /** A sentence cut at its placeholders, so that the template sets the values apart, and escapes them. */
  parts: (key: string, values: Record<string, string>) =>
    sentenceOf(locale, key)
      .split(/\{\{(\w+)\}\}/)
      .map((text, index) => (index % 2 === 0 ? { text } : { name: text, value: values[text] ?? '' })),
});

/** The view's data made fit to show: names cleaned, links checked, codes turned into keys of the locales. */
function present<V extends View>(view: V, data: ViewData[V], locale: Locale): object {
  const t = translatorOf(locale);
  const client = 'client' in data && data.client ? presentClient(data.client, t('client.unnamed')) : undefined;
  const account = 'account' in data && data.account ? { label: plainText(data.account.label) } : undefined;
  const shown = { ...data, client, account };

  const line = ({ name, text }: ScopeLine) => {
    const known = Object.hasOwn(words.consent.scopes, name);
    return { name: plainText(name), known, text: text ?? (known ? t(`consent.scopes.${name}`) : undefined) };
  };
  const claimList = (claims: string[]) =>
    new Intl.ListFormat(locale, { style: 'narrow' }).format(
      claims.map((name) => (Object.hasOwn(words.consent.claims, name) ? t(`consent.claims.${name}`) : plainText(name))),
    );
  const resourceShown = (resource: ResourceLine) => ({
    name: plainText(resource.name),
    host: plainText(resource.host),
    scopes: resource.scopes.map(({ name, description }) =>
      line({ name, text: description && plainText(description[locale] ?? description.en) }),
    ),
  });
  const inLanguage = (told: Told) => plainText(told[locale] ?? told.en);
  const detailShown = ({ title, host, lines }: DetailLine) => ({
    title: inLanguage(title),
    host: plainText(host),
    lines: lines.map(({ label, value }) => ({ label: inLanguage(label), value: plainText(value) })),
  });
  const placeShown = ({ ip, userAgent }: Place) => ({ ip: plainText(ip), userAgent: plainText(userAgent) });

  if (view === 'consent') {
    const asked = data as ViewData['consent'];
    const { scopes, claims = [], resources = [], details = [], alreadyGranted = [], grantedResources = [] } = asked;
    return {
      ...shown,
      scopes: scopes.map(line),
      alreadyGranted: alreadyGranted.map(line),
      grantedResources: grantedResources.map(resourceShown),
      grantedCount: alreadyGranted.length + grantedResources.flatMap((resource) => resource.scopes).length,
      resources: resources.map(resourceShown),
      details: details.map(detailShown),
      claims: claimList(claims),
    };
  }
  if (view === 'device-confirm') {
    const { scopes, resources, place } = data as ViewData['device-confirm'];
    return {
      ...shown,
      scopes: scopes.map(line),
      resources: resources.map(resourceShown),
      place: placeShown(place),
    };
  }
  if (view === 'account') {
    const { approvals, identities, added } = data as ViewData['account'];
    // Named by the provider, and by whoever is at home there.
    const named = <T extends { name: string }>(one: T): T => ({ ...one, name: plainText(one.name) });
    const cards = approvals.map(
      ({ client: app, scopes, claims, resources, details, bindingMessage, place, ...rest }) => ({
        ...rest,
        client: presentClient(app, t('client.unnamed')),
        scopes: scopes.map(line),
        claims: claimList(claims),
        resources: resources.map(resourceShown),
        details: details.map(detailShown),
        bindingMessage: bindingMessage === undefined ? undefined : plainText(bindingMessage),
        place: placeShown(place),
      }),
    );
    return { ...shown, approvals: cards, identities: identities.map(named), added: added && named(added) };
  }
  if (view === 'error') {
    const { code, words: other } = data as ViewData['error'];
    const key = other ?? (Object.hasOwn(words.error.codes, code) ? code : (sameWords.get(code) ?? 'default'));
    return {
      ...shown,
      words: `error.codes.${key}`,
      forDeveloper: Object.hasOwn(words.error.developer, key) ? key : '',
    };
  }
  return shown;
}

const contentHash = (file: URL): string =>
  createHash('sha256').update(readFileSync(file)).digest('base64url').slice(0, 12);

/** What HTML has no place for, wherever it came from: escapes of terminals among them. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROLS = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;

export type Pages = ReturnType<typeof createPages>;

/**
 * @param options.issuer Shown on every page, so that people can compare it with the address bar.
 * @param options.appName The name of this service.
 * @param options.views Directory of the templates, ending in a slash.
 * @param options.cache Keep compiled templates and asset hashes; off while developing.
 */
export function createPages(options: { issuer: string; appName?: string; views?: URL; cache: boolean }) {
  const { issuer, appName = 'User Auth', views = new URL('../../views/', import.meta.url), cache } = options;
  const loader = new nunjucks.FileSystemLoader(fileURLToPath(views), { noCache: !cache });
  const templates = new nunjucks.Environment(loader, { autoescape: true, trimBlocks: true, lstripBlocks: true });

  const hashAssets = () => ({
    style: contentHash(new URL('assets/style.css', views)),
    favicon: contentHash(new URL('assets/favicon.svg', views)),
  });
  const keptHashes = cache ? hashAssets() : undefined;

  return {
    /**
     * Answers with `view` in the request's language (`ctx.state.uiLocales`, then Accept-Language).
     * Leaves the status to the caller; sets type, Content-Language, Vary, and forbids storing.
     */
    render<V extends View>(ctx: Koa.Context, view: V, data: ViewData[V]): void {
      const locale = localeOf(ctx, ctx.state.uiLocales);
      const html = templates.render(`${view}.njk`, {
        ...present(view, data, locale),
        ...wordsOf(locale),
        locale,
        appName,
        issuerHost: new URL(issuer).host,
        assets: keptHashes ?? hashAssets(),
      });
      ctx.body = html.replace(CONTROLS, '\ufffd');
      ctx.type = 'html';
      ctx.set('Cache-Control', 'no-store');
      ctx.set('Content-Language', locale);
      ctx.vary('Accept-Language');
    },
  };
}
