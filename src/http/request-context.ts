import { AsyncLocalStorage } from 'node:async_hooks';
import type { Context, Middleware } from 'koa';
import type { RequestFacts } from '../domain/audit.ts';
import { askedLocale, type Locale } from './locale.ts';

/** Longer ones are cut: they are for people to recognise a browser by. */
const USER_AGENT_LENGTH = 300;

export type RequestContext = {
  middleware: Middleware;
  facts(): RequestFacts | undefined;
  locale(): Locale | undefined;
};

/** Lets the rules know from which request they are called, without every call between saying so. */
export const createRequestContext = (): RequestContext => {
  const current = new AsyncLocalStorage<Context>();
  return {
    middleware: (ctx, next) => current.run(ctx, next),
    locale() {
      const ctx = current.getStore();
      return ctx && askedLocale(ctx);
    },
    facts() {
      const ctx = current.getStore();
      return (
        ctx && {
          requestId: ctx.state.requestId,
          ip: ctx.ip,
          userAgent: ctx.get('user-agent').slice(0, USER_AGENT_LENGTH),
          actor: ctx.state.user?.id,
          keyId: ctx.state.keyId,
          client: ctx.state.clientId,
        }
      );
    },
  };
};
