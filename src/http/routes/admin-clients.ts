import { Router } from '@koa/router';
import type { ClientRegistry, ShownClient } from '../../oidc/clients.ts';
import { ChangedClient, ClientQuery, NewClient, SecretRotation } from '../operations/admin-clients.ts';
import { NoBody } from '../operations/fields.ts';
import { type RequireUser, requireScope, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, queryOf } from '../validate.ts';

const clientJson = ({ metadata, secret, ...client }: ShownClient & { secret?: string | undefined }) => ({
  ...metadata,
  first_party: client.firstParty,
  registration: client.registration,
  created_at: client.createdAt.toISOString(),
  updated_at: client.updatedAt.toISOString(),
  ...(client.previousSecretExpiresAt && { previous_secret_expires_at: client.previousSecretExpiresAt.toISOString() }),
  // RFC 7591 §3.2.1: 0 says that the secret does not expire.
  ...(secret !== undefined && { client_secret: secret, client_secret_expires_at: 0 }),
});

/** The apps that may ask for sign-ins and tokens. */
export const adminClientRoutes = (clients: ClientRegistry, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/clients' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requireScope('read:clients'), async (ctx) => {
      const { q, cursor = '', limit } = queryOf(ctx, ClientQuery);
      const { items, total } = await clients.list(q, cursor, limit + 1);
      const page = items.slice(0, limit);
      const last = page.at(-1)?.metadata.client_id;
      ctx.body = {
        items: page.map(clientJson),
        next_cursor: items.length > limit && last ? Buffer.from(last).toString('base64url') : null,
        total,
      };
    })
    .post('/', requireScope('write:clients'), async (ctx) => {
      const { first_party, ...requested } = jsonOf(ctx, NewClient);
      ctx.status = 201;
      ctx.body = clientJson(await clients.add(requested, first_party));
    })
    .get('/:clientId', requireScope('read:clients'), async (ctx) => {
      ctx.body = clientJson(await clients.get(String(ctx.params.clientId)));
    })
    .put('/:clientId', requireScope('write:clients'), async (ctx) => {
      const { first_party, ...requested } = jsonOf(ctx, ChangedClient);
      ctx.body = clientJson(await clients.replace(String(ctx.params.clientId), requested, first_party));
    })
    .delete('/:clientId', requireScope('write:clients'), async (ctx) => {
      jsonOf(ctx, NoBody);
      await clients.remove(String(ctx.params.clientId));
      ctx.status = 204;
    })
    .post('/:clientId/secret', requireScope('write:clients'), async (ctx) => {
      const { overlap_seconds } = jsonOf(ctx, SecretRotation);
      ctx.body = clientJson(await clients.rotateSecret(String(ctx.params.clientId), overlap_seconds));
    });
