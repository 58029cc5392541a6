import { Router } from '@koa/router';
import type { Context } from 'koa';
import { z } from 'zod';
import type { Accounts, User } from '../../domain/accounts.ts';
import { DomainError } from '../../domain/errors.ts';
import { FRESH_SECONDS, type Identities } from '../../domain/identities.ts';
import type { Providers } from '../../federation/providers.ts';
import type { Approvals } from '../../oidc/approvals.ts';
import type { BrowserSession } from '../../oidc/browser-session.ts';
import type { ResourceRegistry } from '../../oidc/resource-servers.ts';
import type { Csrf } from '../csrf.ts';
import { clientCard } from '../engine-pages.ts';
import { goOn, labelOf } from '../interaction-pages.ts';
import type { AccountOutcome, Pages } from '../pages.ts';
import { detailLines, resourceLines } from '../resource-lines.ts';
import { allowFormTarget } from '../security-headers.ts';
import { bodyOf, formBody, idOf } from '../validate.ts';
import type { Federation } from './federation.ts';

const OUTCOMES = [
  'linked',
  'unlinked',
  'identity_taken',
  'email_not_verified',
  'last_way_in',
  'approved',
  'declined',
  'approval_gone',
] as const satisfies readonly AccountOutcome[];
const Outcome = z.object({ outcome: z.enum(OUTCOMES), identity: z.string().optional() });
const Form = z.object({ csrf: z.string().optional() });
const Decision = z.object({ decision: z.enum(['approve', 'deny']) });

/** Where the direct way to sign in ends: who is signed in here, and what they can sign in with. */
export const accountRoutes = (
  session: BrowserSession,
  accounts: Accounts,
  identities: Identities,
  approvals: Approvals,
  registry: ResourceRegistry,
  providers: Providers,
  federation: Federation,
  pages: Pages,
  csrf: Csrf,
) => {
  const signedIn = async (ctx: Context): Promise<User | undefined> => {
    const id = await session.accountId(ctx.req, ctx.res);
    return id === undefined ? undefined : accounts.find(id);
  };

  /**
   * The person behind a form of this page, who is signed in and sent it. What signs in to an account is changed by who has just shown
   * that it is theirs: anybody else does so first, and comes back to this page.
   *
   * @param freshly Not needed for what takes nothing and gives nothing.
   */
  const submittedBy = async (ctx: Context, freshly = true): Promise<User | undefined> => {
    const { accountId = '', at = 0 } = (await session.signedIn(ctx.req, ctx.res)) ?? {};
    const user = await accounts.find(accountId);
    if (user) csrf.check(ctx, `account:${user.id}:${csrf.browser(ctx)}`, bodyOf(ctx, Form)?.csrf);
    if (user && (!freshly || Date.now() / 1000 - at <= FRESH_SECONDS)) return user;
    goOn(ctx, user ? session.signInAgainUrl : '/');
    return undefined;
  };

  return new Router({ prefix: '/account' })
    .get('/', async (ctx) => {
      const user = await signedIn(ctx);
      // Nobody signed in, or they turned back: the front door.
      if (!user) return goOn(ctx, '/');
      const [held, waiting] = await Promise.all([identities.list(user.id), approvals.list(user.id)]);
      const linked = held.map(({ id, provider, email, profile, subject }) => {
        const { username } = Object(profile) as { username?: string };
        return { id, label: identities.labelOf(provider), name: email ?? username ?? subject };
      });
      const { outcome, identity } = Outcome.safeParse(ctx.query).data ?? {};
      // The form that adds one ends at the provider: any at https, and those on this machine where one is.
      allowFormTarget(ctx, providers.all.map(({ issuer }) => issuer).sort()[0]);
      pages.render(ctx, 'account', {
        account: { label: labelOf(user) },
        csrf: csrf.token(`account:${user.id}:${csrf.browser(ctx)}`),
        outcome,
        added: linked.find(({ id }) => id === identity),
        hasPassword: user.passwordHash !== null,
        identities: linked,
        providers: providers.all.map(({ id, label }) => ({ id, label })),
        approvals: await Promise.all(
          waiting.map(async ({ client, scopes, resources, details, from, ...approval }) => ({
            ...approval,
            client: clientCard(client),
            scopes: scopes.map((name) => ({ name })),
            resources: await resourceLines(registry, resources),
            details: detailLines(registry, details),
            place: from,
          })),
        ),
      });
    })
    .post('/approvals/:id', formBody, async (ctx) => {
      const decision = bodyOf(ctx, Decision)?.decision;
      const user = await submittedBy(ctx, decision !== 'deny');
      if (!user) return;
      if (decision === undefined) return goOn(ctx, '/account');
      try {
        if (decision === 'deny') await approvals.deny(user.id, String(ctx.params.id));
        else {
          const { amr, at = 0 } = (await session.signedIn(ctx.req, ctx.res)) ?? {};
          await approvals.approve(user.id, String(ctx.params.id), { amr, at });
        }
        goOn(ctx, `/account?outcome=${decision === 'deny' ? 'declined' : 'approved'}`);
      } catch (error) {
        if (!(error instanceof DomainError) || error.code !== 'unknown_approval') throw error;
        goOn(ctx, '/account?outcome=approval_gone');
      }
    })
    .post('/link/:provider', formBody, async (ctx) => {
      const user = await submittedBy(ctx);
      if (!user) return;
      // Told before the trip rather than after it.
      if (!user.emailVerified) return goOn(ctx, '/account?outcome=email_not_verified');
      await federation.link(ctx, user.id);
    })
    .post('/unlink/:id', formBody, async (ctx) => {
      const user = await submittedBy(ctx);
      if (!user) return;
      try {
        const keep = await session.keeper(ctx.req, ctx.res);
        await keep(await identities.unlink(user, idOf(ctx.params.id)));
        goOn(ctx, '/account?outcome=unlinked');
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        if (error.code === 'stale_sign_in') return goOn(ctx, '/account');
        // Gone already is as good as removed.
        goOn(ctx, `/account?outcome=${error.code === 'unknown_identity' ? 'unlinked' : error.code}`);
      }
    });
};
