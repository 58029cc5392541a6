import { Readable } from 'node:stream';
import { Router } from '@koa/router';
import type { ApiKeys } from '../../domain/api-keys.ts';
import type { Audit, RecordedEvent } from '../../domain/audit.ts';
import type { Identities } from '../../domain/identities.ts';
import type { Verification } from '../../domain/verification.ts';
import type { ConnectedApps } from '../../oidc/connected-apps.ts';
import type { SignInList } from '../../oidc/sign-ins.ts';
import { accountJson, apiKeyJson, appJson, identityJson, sessionJson } from '../account-json.ts';
import { type RequireUser, requirePerson, requireScope, type SignedIn } from '../require-user.ts';

/** Events held in memory at once: a long life has many. */
const EVENTS = 500;

/** An event as it concerns this user: what somebody else did is told, not who and from where; nor what it said of somebody else. */
const eventOf =
  (userId: string) =>
  ({ seq, time, type, actor, target, client, details, ...where }: RecordedEvent) => {
    const byAnother = actor !== undefined && actor !== userId;
    const toAnother = target !== undefined && target !== userId;
    return {
      seq,
      time,
      type,
      ...(!byAnother && { actor, ...where }),
      target,
      client,
      ...(!toAnother && { details }),
    };
  };

/** The JSON of `head` with one more member, a list that comes in parts. */
async function* withList(head: object, name: string, parts: AsyncIterable<object[]>): AsyncGenerator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},${JSON.stringify(name)}:[`;
  let between = '';
  for await (const part of parts) {
    yield between + part.map((one) => JSON.stringify(one)).join(',');
    between = ',';
  }
  yield ']}';
}

/** Everything that is held about the caller. */
export const exportRoutes = (
  apiKeys: ApiKeys,
  signIns: SignInList,
  apps: ConnectedApps,
  identities: Identities,
  verification: Verification,
  audit: Audit,
  requireUser: RequireUser,
) =>
  new Router<SignedIn>({ prefix: '/users/me/export' })
    .use(requireUser)
    .get('/', requirePerson, requireScope('read:profile'), async (ctx) => {
      const { user, grantId } = ctx.state;
      const [keys, sessions, connected, linked, removed, links, events] = await Promise.all([
        apiKeys.list(user.id),
        signIns.list(user.id, grantId),
        apps.list(user.id),
        identities.list(user.id),
        identities.removed(user.id),
        verification.outstanding(user.id),
        audit.listOf(user.id, EVENTS),
      ]);
      const told = eventOf(user.id);
      const pages = async function* () {
        for (let page = events; page.length > 0; ) {
          yield page.map(told);
          const last = page.length < EVENTS ? undefined : page.at(-1)?.seq;
          page = last === undefined ? [] : await audit.listOf(user.id, EVENTS, last);
        }
      };
      ctx.set('Content-Disposition', 'attachment; filename="user-auth-export.json"');
      const file = {
        exported_at: new Date().toISOString(),
        account: { ...accountJson(user), has_password: user.passwordHash !== null },
        api_keys: keys.map(apiKeyJson),
        sessions: sessions.map(sessionJson),
        apps: connected.map(appJson),
        identities: linked.map(identityJson),
        removed_identities: removed.map(({ provider, issuer, subject, removedAt }) => ({
          provider,
          issuer,
          subject,
          removed_at: removedAt.toISOString(),
        })),
        outstanding_links: links.map(({ purpose, email, createdAt, expiresAt }) => ({
          purpose,
          email,
          created_at: createdAt.toISOString(),
          expires_at: expiresAt.toISOString(),
        })),
      };
      ctx.type = 'application/json';
      ctx.body = Readable.from(withList(file, 'audit_events', pages()), { objectMode: false });
    });
