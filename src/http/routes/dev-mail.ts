import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import { isLoopbackHost } from '../../oidc/loopback.ts';
import type { KeptMail, Pages } from '../pages.ts';
import { allowOwnFrames, sandbox } from '../security-headers.ts';

/** A mail as its recipient would have read it. */
type Preview = {
  id: string;
  createdAt: Date;
  to: string;
  locale: string;
  subject: string;
  text: string;
  html: string;
};

const isLoopback = (address: string | undefined): boolean =>
  address === '::1' || /^(::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(address ?? '');

/**
 * The mails hold links that sign people in: they are for who sits at this machine. Not for the network, when HOST is opened to
 * it; nor for whoever comes through a proxy on this machine that we do not believe; nor for another site's page, whose name was
 * made to lead here (DNS rebinding).
 */
const thisMachineOnly = (issuer: string, trustProxy: number): Middleware => {
  const { hostname } = new URL(issuer);
  return (ctx, next) => {
    const forwarded = ['x-forwarded-for', 'forwarded', 'x-real-ip'].some((name) => ctx.get(name) !== '');
    const name = URL.parse(`http://${ctx.req.headers.host}`)?.hostname;
    const allowed =
      isLoopback(ctx.req.socket.remoteAddress) &&
      isLoopback(ctx.ip) &&
      (trustProxy > 0 || !forwarded) &&
      name !== undefined &&
      (isLoopbackHost(name) || name === hostname);
    return allowed ? next() : undefined;
  };
};

const present = ({ id, to, subject, locale, createdAt }: Preview): KeptMail => ({
  href: `/dev/mail/${id}`,
  to,
  subject,
  locale,
  createdAt,
});

/** Cut at its links. */
const linked = (text: string) =>
  text.split(/(https?:\/\/\S+)/).map((part, index) => (index % 2 ? { text: part, href: part } : { text: part }));

/** While developing, where the mails go. */
export const devMailRoutes = (issuer: string, trustProxy: number, previews: () => Promise<Preview[]>, pages: Pages) => {
  const find = async (ctx: Context) => (await previews()).find(({ id }) => id === ctx.params.id);
  return new Router({ prefix: '/dev/mail' })
    .use(thisMachineOnly(issuer, trustProxy))
    .get('/', async (ctx) => pages.render(ctx, 'kept-mails', { mails: (await previews()).map(present) }))
    .get('/:id', async (ctx) => {
      const mail = await find(ctx);
      if (!mail) return;
      allowOwnFrames(ctx);
      pages.render(ctx, 'kept-mail', {
        mail: present(mail),
        htmlHref: `/dev/mail/${mail.id}/html`,
        text: linked(mail.text),
      });
    })
    .get('/:id/html', async (ctx) => {
      const mail = await find(ctx);
      if (!mail) return;
      sandbox(ctx);
      ctx.set('Cache-Control', 'no-store');
      ctx.type = 'html';
      ctx.body = mail.html;
    });
};
