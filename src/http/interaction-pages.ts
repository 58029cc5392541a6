import type { Context } from 'koa';
import type { Accounts } from '../domain/accounts.ts';
import type { Providers } from '../federation/providers.ts';
import type { Interactions, PendingInteraction } from '../oidc/interactions.ts';
import { FIRST_PARTY_CLIENT_ID } from '../oidc/own-resource.ts';
import type { Csrf } from './csrf.ts';
import { clientCard } from './engine-pages.ts';
import type { Pages, ViewData } from './pages.ts';
import { allowFormTarget } from './security-headers.ts';

/** How an account is called on a page. */
export const labelOf = (user: { email: string; username: string | null }): string => user.username ?? user.email;

export const goOn = (ctx: Context, location: string): void => {
  ctx.status = 303;
  ctx.redirect(location);
};

/**
 * Whether the app has to know when the person signed in. Our own pages ask for a new sign-in to see that it is still the same person:
 * a provider that lets them through when it is asked anew shows that.
 */
export const insistsOnWhen = ({ client, maxAgeSeconds }: PendingInteraction): boolean =>
  maxAgeSeconds !== undefined && client.clientId !== FIRST_PARTY_CLIENT_ID;

export type InteractionPages = ReturnType<typeof createInteractionPages>;

/** What several routes of an authorization request share. */
export const createInteractionPages = (
  interactions: Interactions,
  accounts: Accounts,
  providers: Providers,
  pages: Pages,
  csrf: Csrf,
) => ({
  /** The interaction of this browser; undefined when the answer is already given. */
  async pendingOf(ctx: Context): Promise<PendingInteraction | undefined> {
    const pending = await interactions.pending(ctx.req, ctx.res);
    if ('continueTo' in pending) {
      goOn(ctx, pending.continueTo);
      return undefined;
    }
    ctx.state.uiLocales = pending.uiLocales;
    allowFormTarget(ctx, pending.redirectUri);
    return pending;
  },

  async loginPage(ctx: Context, pending: PendingInteraction, more: Partial<ViewData['login']> = {}): Promise<void> {
    const signedIn = pending.accountId === undefined ? undefined : await accounts.find(pending.accountId);
    const reauthenticate = signedIn !== undefined && pending.prompt === 'login';
    // The app insists on when the person signed in: who cannot tell is no way there.
    const able = providers.all.filter((one) => one.reauthenticates || !insistsOnWhen(pending));
    pages.render(ctx, 'login', {
      action: `/interaction/${pending.uid}/login`,
      cancelAction: `/interaction/${pending.uid}/cancel`,
      forgotHref: `/forgot-password?interaction=${pending.uid}`,
      csrf: csrf.token(pending.uid),
      login: pending.loginHint ?? (reauthenticate ? labelOf(signedIn) : undefined),
      client: clientCard(pending.client),
      reauthenticate,
      providers: able.map(({ id, label }) => ({ id, label, href: `/interaction/${pending.uid}/with/${id}` })),
      ...more,
    });
  },
});
