import type { Context } from 'koa';
import { z } from 'zod';
import type { OneTimeValues } from '../domain/one-time-values.ts';
import { FAILURES } from './federation-failures.ts';

const MODEL = 'FederationResult';
const COOKIE = 'federated';
const SECONDS = 120;

/** Who came back from a provider. */
export const Arrived = z.object({
  provider: z.string(),
  issuer: z.string(),
  subject: z.string(),
  email: z.string().optional(),
  emailVerified: z.boolean(),
  authoritative: z.boolean(),
  name: z.string().optional(),
  picture: z.string().optional(),
  username: z.string().optional(),
  authTime: z.number().optional(),
  amr: z.array(z.string()),
});
export type Arrived = z.infer<typeof Arrived>;

/** What came of a trip to a provider. */
const Result = z.object({ uid: z.string(), provider: z.string(), arrived: Arrived.or(z.enum(FAILURES)) });
export type Result = z.infer<typeof Result>;

const options = (uid: string) => ({
  signed: false,
  httpOnly: true,
  sameSite: 'lax' as const,
  path: `/interaction/${uid}`,
  maxAge: SECONDS * 1000,
});

export type FederationResults = ReturnType<typeof createFederationResults>;

/**
 * Takes what came of a trip to the interaction that it was for. Only under the interaction's own path does the browser show that the
 * interaction is its own, so that nobody can bring somebody else's browser to answer for them.
 */
export const createFederationResults = (values: OneTimeValues) => ({
  async leave(ctx: Context, result: Result): Promise<void> {
    const name = await values.put(MODEL, result, SECONDS);
    ctx.cookies.set(COOKIE, name, options(result.uid));
  },

  /** Once. */
  async collect(ctx: Context, uid: string): Promise<Result | undefined> {
    const name = ctx.cookies.get(COOKIE, { signed: false });
    ctx.cookies.set(COOKIE, null, options(uid));
    const result = Result.safeParse(name === undefined ? undefined : await values.take(MODEL, name)).data;
    return result?.uid === uid ? result : undefined;
  },
});
