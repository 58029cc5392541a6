/**
 * The language of a page: which one a request asks for, and the words in it.
 */
import { createInstance } from 'i18next';
import type Koa from 'koa';
import en from '../../views/locales/en.json' with { type: 'json' };
import zhCN from '../../views/locales/zh-CN.json' with { type: 'json' };

export type Locale = 'en' | 'zh-CN';
/** The shape of a locale file; en.json leads, the others have the same keys. */
export type Words = typeof en;
/** The leading locale, to see which words exist. */
export const words: Words = en;
export type Translate = (key: string, values?: Record<string, string>) => string;

export const supportedLocales: readonly Locale[] = ['en', 'zh-CN'];

// `satisfies` makes a key that a translation lacks a type error.
const resources = { en: { translation: en }, 'zh-CN': { translation: zhCN satisfies Words } };

const i18n = createInstance();
i18n.init({
  resources,
  fallbackLng: 'en',
  initAsync: false,
  // Scope names such as read:profile are keys.
  nsSeparator: false,
  // The templates escape; escaping twice would show entities.
  interpolation: { escapeValue: false },
});

/** The words of `locale`; `{{placeholders}}` of a sentence are filled from `values`. */
export const translatorOf = (locale: Locale): Translate => {
  const t = i18n.getFixedT(locale);
  return (key, values) => t(key, values ?? {});
};

/** The sentence at `key` as written, its `{{placeholders}}` unfilled. */
export const sentenceOf = (locale: Locale, key: string): string =>
  i18n.getFixedT(locale)(key, { skipInterpolation: true });

const ranges: ReadonlyMap<string, Locale> = new Map([
  ['en', 'en'],
  ['zh', 'zh-CN'],
  ['zh-hans', 'zh-CN'],
  ['zh-cn', 'zh-CN'],
]);

/** Lookup: a language range loses its last subtag until one is known. @see RFC 4647 §3.4 */
function lookup(range: string): Locale | undefined {
  for (let subtags = range.toLowerCase().split('-'); subtags.length > 0; subtags = subtags.slice(0, -1)) {
    const locale = ranges.get(subtags.join('-'));
    if (locale) return locale;
  }
  return undefined;
}

/** The language that a request asks for, where it is one of ours. */
export function askedLocale(ctx: Pick<Koa.Context, 'acceptsLanguages'>): Locale | undefined {
  for (const range of ctx.acceptsLanguages() as string[]) {
    const locale = lookup(range);
    if (locale) return locale;
  }
  return undefined;
}

/**
 * The language to answer in: the app's `ui_locales` first, then the browser's Accept-Language by its q-values, then English.
 *
 * @param uiLocales Space-separated BCP 47 tags in order of preference.
 * @see [OIDC Core §3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest)
 */
export function localeOf(ctx: Pick<Koa.Context, 'acceptsLanguages'>, uiLocales = ''): Locale {
  const accepted = ctx.acceptsLanguages() as string[];
  for (const range of [...uiLocales.split(' '), ...accepted]) {
    const locale = lookup(range);
    if (locale) return locale;
  }
  return 'en';
}
