// A browser without JavaScript: keeps cookies by host and path, follows redirects inside the service, fills forms.
type Cookie = { name: string; value: string; path: string; host: string };

export type Visited = {
  status: number;
  url: URL;
  headers: Headers;
  html: string;
  /** Every address on the way here, the last one included. */
  trail: string[];
};

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
const decode = (text: string): string =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => entities[name] ?? '');

/** The value of an attribute in a tag. */
const attribute = (tag: string, name: string): string | undefined => {
  const match = new RegExp(`\\b${name}="([^"]*)"`).exec(tag);
  return match ? decode(match[1] ?? '') : undefined;
};

export const createBrowser = (origin: string, headers: Record<string, string> = {}) => {
  let cookies: Cookie[] = [];

  const keep = (url: URL, response: Response) => {
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split('; ');
      const name = pair.slice(0, pair.indexOf('='));
      const path = attributes.find((a) => a.toLowerCase().startsWith('path='))?.slice(5) ?? '/';
      cookies = cookies.filter((c) => !(c.name === name && c.path === path && c.host === url.host));
      const expires = attributes.find((a) => a.toLowerCase().startsWith('expires='))?.slice(8);
      if (!expires || Date.parse(expires) > Date.now())
        cookies.push({ name, value: pair.slice(pair.indexOf('=') + 1), path, host: url.host });
    }
  };

  const cookieHeader = (url: URL): string =>
    cookies
      .filter(
        ({ host, path }) =>
          host === url.host && (url.pathname === path || url.pathname.startsWith(path.replace(/\/?$/, '/'))),
      )
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');

  /** Goes to `target`; follows redirects unless `init` says `manual`, and stops at an answer that is not a redirect, or at the door of another origin. */
  const go = async (target: string | URL, init: RequestInit = {}): Promise<Visited> => {
    const trail: string[] = [];
    let request: RequestInit = init;
    for (let url = new URL(target, origin); ; ) {
      trail.push(url.href);
      if (url.origin !== origin) return { status: 0, url, headers: new Headers(), html: '', trail };
      const response = await fetch(url, {
        ...request,
        redirect: 'manual',
        headers: { accept: 'text/html', ...headers, ...request.headers, cookie: cookieHeader(url) },
      });
      keep(url, response);
      const location = response.headers.get('location');
      if (location === null || response.status < 300 || response.status > 399)
        return { status: response.status, url, headers: response.headers, html: await response.text(), trail };
      await response.body?.cancel();
      url = new URL(location, url);
      // Asked not to follow, it says where it would have gone.
      if (init.redirect === 'manual')
        return { status: response.status, url, headers: response.headers, html: '', trail };
      request = {};
    }
  };

  return {
    go,
    /** Sends the form that holds the button (by its id) with its hidden fields, what is given, and the button's own value. */
    submit(
      page: Visited,
      buttonId: string,
      fields: Record<string, string> = {},
      more: RequestInit = {},
    ): Promise<Visited> {
      const form = [...page.html.matchAll(/<form\b[\s\S]*?<\/form>/g)]
        .map(([f]) => f)
        .find((f) => f.includes(`id="${buttonId}"`));
      if (!form) throw new Error(`no form with #${buttonId} on ${page.url} (${page.status})`);
      const body = new URLSearchParams();
      for (const [tag] of form.matchAll(/<input\b[^>]*>/g)) {
        const name = attribute(tag, 'name');
        if (name !== undefined) body.set(name, attribute(tag, 'value') ?? '');
      }
      const button =
        [...form.matchAll(/<button\b[^>]*>/g)].map(([b]) => b).find((b) => b.includes(`id="${buttonId}"`)) ?? '';
      const name = attribute(button, 'name');
      if (name !== undefined) body.set(name, attribute(button, 'value') ?? '');
      for (const [field, value] of Object.entries(fields)) body.set(field, value);
      return go(new URL(attribute(form, 'action') ?? '', page.url), { method: 'POST', body, ...more });
    },
    cookies: () => cookies,
    setCookies: (all: Cookie[]) => {
      cookies = all;
    },
  };
};

export type Browser = ReturnType<typeof createBrowser>;
