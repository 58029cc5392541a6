import type { Context } from 'koa';

/**
 * Lets a browser or app that has signed in before keep its own budget of attempts; it proves nothing else. With the prefix of RFC 6265bis no
 * sister domain can set one.
 */
const cookieOf = (ctx: Context): string => (ctx.secure ? '__Host-device' : 'device');
const DAYS = 365;

/** What `rememberDevice` left, if it ever did. */
export const deviceOf = (ctx: Context): string | undefined => ctx.cookies.get(cookieOf(ctx), { signed: false });

/** @param mark Of the sign-in's rules: see domain/sign-in.ts. */
export const rememberDevice = (ctx: Context, mark: string): void => {
  ctx.cookies.set(cookieOf(ctx), mark, { signed: false, httpOnly: true, sameSite: 'lax', maxAge: DAYS * 86_400_000 });
};
