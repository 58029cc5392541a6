import { Router } from '@koa/router';
import type { Context, Middleware } from 'koa';
import type { Logger } from 'pino';
import type { Accounts } from '../../domain/accounts.ts';
import { DomainError } from '../../domain/errors.ts';
import type { Identities } from '../../domain/identities.ts';
import type { OneTimeValues } from '../../domain/one-time-values.ts';
import type { Throttles } from '../../domain/throttles.ts';
import { type IdentityProvider, UpstreamError, type Wishes } from '../../federation/identity.ts';
import type { Providers } from '../../federation/providers.ts';
import type { BrowserSession } from '../../oidc/browser-session.ts';
import type { Interactions, PendingInteraction } from '../../oidc/interactions.ts';
import { FIRST_PARTY_CLIENT_ID } from '../../oidc/own-resource.ts';
import { type ExchangeCodes, withParameter } from '../exchange-codes.ts';
import { type Failure, failedPage, failureIn, statusOfFailure } from '../federation-failures.ts';
import { type Arrived, createFederationResults } from '../federation-results.ts';
import { goOn, type InteractionPages, insistsOnWhen } from '../interaction-pages.ts';
import type { LoginError, Pages } from '../pages.ts';
import type { BrowserTrip, Errand, Trips } from '../trips.ts';

/** What a sign-in through another provider says of itself in ID tokens, before what the provider says (RFC 8176 has no word for it). */
const AMR = 'fed';
/** How far a provider's clock may be from ours. */
const CLOCKS_DIFFER_SECONDS = 30;
const EMAIL_LENGTH = 320;

const now = (): number => Math.floor(Date.now() / 1000);

export type FederationParts = {
  providers: Providers;
  identities: Identities;
  accounts: Accounts;
  interactions: Interactions;
  session: BrowserSession;
  interactionPages: InteractionPages;
  pages: Pages;
  trips: Trips;
  values: OneTimeValues;
  codes: ExchangeCodes;
  throttles: Throttles;
  log: Logger;
};

/** Each of these pages spends or begins something: whoever only looks, as programs that preview links do, changes nothing. */
const getAlone: Middleware = async (ctx, next) => {
  if (ctx.method === 'GET') return next();
  ctx.set('Allow', 'GET');
  ctx.throw(405);
};

export type Federation = ReturnType<typeof createFederation>;

/** Signing in through other providers: there, back, and on to what it was for. */
export const createFederation = (parts: FederationParts) => {
  const {
    providers,
    identities,
    accounts,
    interactions,
    session,
    interactionPages,
    pages,
    trips,
    values,
    codes,
    throttles,
    log,
  } = parts;
  const { loginPage, pendingOf } = interactionPages;
  const results = createFederationResults(values);

  /** @throws {DomainError} `unknown_provider` */
  const providerOf = (ctx: Context): IdentityProvider => {
    const id = String(ctx.params.provider);
    const provider = providers.find(id);
    if (provider) return provider;
    const known = /^[\w-]{1,40}$/.test(id) ? id : 'this provider';
    throw new DomainError('unknown_provider', `Signing in with ${known} is not set up here`);
  };

  /** @throws {UpstreamError} */
  const setOut = async (
    ctx: Context,
    provider: IdentityProvider,
    errand: Errand,
    wishes: Wishes = {},
  ): Promise<void> => {
    await throttles.federation.spend(ctx.ip);
    const trip = providers.newTrip();
    const url = await provider.authorizationUrl(trip, wishes);
    const { maxAgeSeconds, anew } = wishes;
    await trips.start(ctx, { ...trip, provider: provider.id, startedAt: now(), maxAgeSeconds, anew, errand });
    ctx.set('Cache-Control', 'no-store');
    goOn(ctx, url.href);
  };

  /** Nobody is known by then whom it could be about: so many from one network, and no more. */
  const record = async (ctx: Context, provider: IdentityProvider, reason: string): Promise<void> => {
    if (await throttles.mayRecord(ctx.ip)) await identities.refused(provider.id, reason, undefined);
  };

  const upstreamFailure = async (ctx: Context, error: unknown, provider: IdentityProvider): Promise<Failure> => {
    const failure = failureIn(ctx, error);
    if (!failure) throw error;
    if (error instanceof UpstreamError && error.fault !== 'cancelled') {
      log.warn(
        { provider: provider.id, fault: error.fault, why: error.message },
        'a provider did not sign somebody in',
      );
      await record(ctx, provider, failure);
    }
    return failure;
  };

  const toInteraction = async (ctx: Context, uid: string, provider: IdentityProvider, arrived: Arrived | Failure) => {
    await results.leave(ctx, { uid, provider: provider.id, arrived });
    goOn(ctx, `/interaction/${uid}/signed-in`);
  };

  const toApp = async (
    ctx: Context,
    provider: IdentityProvider,
    arrived: Arrived,
    { returnTo, codeChallenge }: { returnTo: string; codeChallenge?: string | undefined },
  ) => {
    const user = await identities.signIn(arrived, { client: FIRST_PARTY_CLIENT_ID, ip: ctx.ip });
    const authTime = Math.min(arrived.authTime ?? now(), now());
    const amr = [AMR, ...arrived.amr];
    const code = await codes.issue({
      userId: user.id,
      epoch: user.credentialsEpoch,
      provider: provider.id,
      amr,
      authTime,
      codeChallenge,
    });
    goOn(ctx, withParameter(returnTo, 'code', code));
  };

  const toAccount = async (ctx: Context, arrived: Arrived, errand: { link: string }) => {
    // Somebody else may have signed in to this browser meanwhile.
    const signedIn = await session.accountId(ctx.req, ctx.res);
    const user = signedIn === errand.link ? await accounts.find(errand.link) : undefined;
    if (!user) return goOn(ctx, '/account');
    try {
      const { id } = await identities.link(user, arrived);
      goOn(ctx, `/account?outcome=linked&identity=${id}`);
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      // Nobody is signed in by that any more: the account page says so.
      goOn(ctx, error.code === 'stale_sign_in' ? '/account' : `/account?outcome=${error.code}`);
    }
  };

  const failed = async (ctx: Context, provider: IdentityProvider, failure: Failure, errand: Errand | undefined) => {
    if (errand && 'interaction' in errand) return toInteraction(ctx, errand.interaction, provider, failure);
    // Who turned back needs no page that says so.
    if (failure === 'provider_cancelled' && errand)
      return goOn(ctx, 'link' in errand ? '/account' : withParameter(errand.returnTo, 'error', 'access_denied'));
    failedPage(pages, ctx, providers.all, provider, failure, errand);
  };

  /** @throws {UpstreamError} */
  const arrivedOn = async (provider: IdentityProvider, answer: URLSearchParams, trip: BrowserTrip) => {
    const arrived: Arrived = await provider.identify(answer, trip);
    const { maxAgeSeconds, anew, startedAt } = trip;
    // Our own page asked, and knows when they were here; what the provider knows of earlier is no better.
    if (anew) return { ...arrived, authTime: undefined };
    const signedInAt = arrived.authTime ?? Number.NEGATIVE_INFINITY;
    // OIDC Core §3.1.3.7: who asks for max_age checks auth_time.
    if (maxAgeSeconds !== undefined && signedInAt < startedAt - maxAgeSeconds - CLOCKS_DIFFER_SECONDS)
      return 'provider_not_anew' as const;
    return arrived;
  };

  const callback = async (ctx: Context): Promise<void> => {
    const provider = providerOf(ctx);
    const answer = new URLSearchParams(ctx.querystring);
    ctx.set('Cache-Control', 'no-store');
    await throttles.federation.spend(ctx.ip);
    const { trip, last } = await trips.end(ctx, provider.id, answer.get('state'));
    if (!trip) {
      await record(ctx, provider, 'provider_mismatch');
      return failed(ctx, provider, 'provider_mismatch', last);
    }
    const { errand } = trip;
    const arrived = await arrivedOn(provider, answer, trip).catch((error) => upstreamFailure(ctx, error, provider));
    if (typeof arrived === 'string') return failed(ctx, provider, arrived, errand);
    try {
      if ('interaction' in errand) await toInteraction(ctx, errand.interaction, provider, arrived);
      else if ('returnTo' in errand) await toApp(ctx, provider, arrived, errand);
      else await toAccount(ctx, arrived, errand);
    } catch (error) {
      const failure = failureIn(ctx, error);
      if (!failure) throw error;
      await failed(ctx, provider, failure, errand);
    }
  };

  const refuseOnForm = async (ctx: Context, pending: PendingInteraction, provider: string, error: LoginError) => {
    ctx.status = statusOfFailure(error);
    await loginPage(ctx, pending, { error, errorProvider: identities.labelOf(provider) });
  };

  const fromInteraction = async (ctx: Context): Promise<void> => {
    const provider = providerOf(ctx);
    const pending = await pendingOf(ctx);
    if (!pending) return;
    const { uid, loginHint, uiLocales } = pending;
    // Nothing else is asked here that a provider could answer.
    if (pending.prompt === 'consent') return goOn(ctx, `/interaction/${uid}`);
    if (insistsOnWhen(pending) && !provider.reauthenticates)
      return refuseOnForm(ctx, pending, provider.id, 'provider_not_anew');
    const asks = insistsOnWhen(pending);
    const maxAgeSeconds = asks ? pending.maxAgeSeconds : undefined;
    // Our own pages: one rule for all providers, whether or not they say when.
    const anew = (!asks && pending.maxAgeSeconds !== undefined) || undefined;
    const hint = loginHint !== undefined && loginHint.length <= EMAIL_LENGTH ? loginHint : undefined;
    try {
      await setOut(ctx, provider, { interaction: uid }, { maxAgeSeconds, anew, uiLocales, loginHint: hint });
    } catch (error) {
      await refuseOnForm(ctx, pending, provider.id, await upstreamFailure(ctx, error, provider));
    }
  };

  const intoInteraction = async (ctx: Context): Promise<void> => {
    const pending = await pendingOf(ctx);
    if (!pending) return;
    const { uid } = pending;
    const result = await results.collect(ctx, uid);
    if (!result || pending.prompt === 'consent') return goOn(ctx, `/interaction/${uid}`);
    const { provider, arrived } = result;
    const { clientId: client } = pending.client;
    if (typeof arrived === 'string') {
      if (arrived === 'provider_not_anew') await identities.refused(provider, 'not_anew', client);
      return refuseOnForm(ctx, pending, provider, arrived);
    }
    try {
      const user = await identities.signIn(arrived, { client, accepts: pending.accepts, ip: ctx.ip });
      await identities.signedIn(user, provider, client);
      const how = { amr: [AMR, ...arrived.amr], authTime: arrived.authTime };
      goOn(ctx, await interactions.login(ctx.req, ctx.res, user, how));
    } catch (error) {
      const failure = failureIn(ctx, error);
      if (!failure) throw error;
      await refuseOnForm(ctx, pending, provider, failure);
    }
  };

  const directly = async (ctx: Context): Promise<void> => {
    const provider = providerOf(ctx);
    const { return_to } = ctx.query;
    // Without an app to go back to it is a sign-in on our own pages.
    if (return_to === undefined) return goOn(ctx, '/login');
    const returnTo = codes.returnToOf(typeof return_to === 'string' ? return_to : '');
    const errand = { returnTo, codeChallenge: codes.challengeOf(ctx.query) };
    try {
      await setOut(ctx, provider, errand);
    } catch (error) {
      await failed(ctx, provider, await upstreamFailure(ctx, error, provider), errand);
    }
  };

  return {
    routes: () =>
      new Router()
        .use(getAlone)
        .get('/oauth/:provider/login', directly)
        .get('/oauth/:provider/callback', callback)
        .get('/interaction/:uid/with/:provider', fromInteraction)
        .get('/interaction/:uid/signed-in', intoInteraction),

    /** Sends somebody who is signed in to a provider that is to be added to their account. */
    async link(ctx: Context, userId: string): Promise<void> {
      const provider = providerOf(ctx);
      const errand = { link: userId };
      try {
        await setOut(ctx, provider, errand, { choose: true });
      } catch (error) {
        await failed(ctx, provider, await upstreamFailure(ctx, error, provider), errand);
      }
    },
  };
};
