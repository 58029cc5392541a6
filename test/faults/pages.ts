// A browser that finds another process behind every request, as behind a load balancer.
import type { Answer, Caller } from './caller.ts';
import type { ServerProcess } from './server-process.ts';

export type Page = {
  answer: Answer;
  /** Where it came out; an address of another origin is not visited. */
  url: URL;
};

const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
const attribute = (tag: string, name: string): string | undefined =>
  new RegExp(`\\b${name}="([^"]*)"`)
    .exec(tag)?.[1]
    ?.replace(/&(amp|lt|gt|quot|#39);/g, (_, entity: string) => entities[entity] ?? '');

export const has = ({ answer }: Page, buttonId: string): boolean => answer.text.includes(`id="${buttonId}"`);

export type Pages = ReturnType<typeof createPages>;

/** @param pick The process that the next request meets. */
export const createPages = (call: Caller, issuer: string, pick: () => ServerProcess) => {
  const cookies = new Map<string, { name: string; value: string; path: string }>();

  const keep = (lines: string[]): void => {
    for (const line of lines) {
      const [pair = '', ...attributes] = line.split('; ');
      const name = pair.slice(0, pair.indexOf('='));
      const value = (what: string) =>
        attributes.find((a) => a.toLowerCase().startsWith(`${what}=`))?.slice(what.length + 1);
      const path = value('path') ?? '/';
      const expires = value('expires');
      cookies.delete(`${name} ${path}`);
      if (!expires || Date.parse(expires) > Date.now())
        cookies.set(`${name} ${path}`, { name, value: pair.slice(pair.indexOf('=') + 1), path });
    }
  };

  const go = async (target: string | URL, form?: Record<string, string>): Promise<Page> => {
    let sent = form;
    for (let url = new URL(target, issuer); ; ) {
      if (url.origin !== issuer) return { url, answer: { status: 0, headers: {}, text: '', body: {}, unknown: false } };
      const fitting = [...cookies.values()].filter(
        ({ path }) => url.pathname === path || url.pathname.startsWith(path.replace(/\/?$/, '/')),
      );
      const cookie = fitting.map(({ name, value }) => `${name}=${value}`).join('; ');
      const headers = { accept: 'text/html', ...(cookie && { cookie }) };
      const answer = await call(pick(), sent ? 'POST' : 'GET', url.pathname + url.search, {
        headers,
        ...(sent && { form: sent }),
      });
      keep(answer.headers['set-cookie'] ?? []);
      const { location } = answer.headers;
      if (location === undefined || answer.status < 300 || answer.status > 399) return { url, answer };
      url = new URL(location, url);
      sent = undefined;
    }
  };

  return {
    go,
    /** Sends the form that holds the button, with its hidden fields and what is given. */
    submit({ answer, url }: Page, buttonId: string, fields: Record<string, string> = {}): Promise<Page> {
      const forms = [...answer.text.matchAll(/<form\b[\s\S]*?<\/form>/g)].map(([one]) => one);
      const form = forms.find((one) => one.includes(`id="${buttonId}"`)) ?? '';
      const body: Record<string, string> = {};
      const button = [...form.matchAll(/<button\b[^>]*>/g)].find(([tag]) => tag.includes(`id="${buttonId}"`)) ?? [];
      for (const [tag] of [...form.matchAll(/<input\b[^>]*>/g), ...(button[0] ? [[button[0]]] : [])]) {
        const name = attribute(tag ?? '', 'name');
        if (name !== undefined) body[name] = attribute(tag ?? '', 'value') ?? '';
      }
      return go(new URL(attribute(form, 'action') ?? '', url), { ...body, ...fields });
    },
  };
};
