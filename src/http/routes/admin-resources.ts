import { Router } from '@koa/router';
import type { z } from 'zod';
import type { ResourceRegistry, ResourceServerRecord, StoredResourceServer } from '../../oidc/resource-servers.ts';
import {
  ChangedResource,
  NewResource,
  RemovedResource,
  ResourceListQuery,
  ResourceQuery,
} from '../operations/admin-resources.ts';
import { type RequireUser, requirePermission, type SignedIn } from '../require-user.ts';
import { jsonBody, jsonOf, queryOf } from '../validate.ts';

export const resourceJson = (resource: StoredResourceServer) => ({
  identifier: resource.identifier,
  name: resource.name,
  scopes: resource.scopes,
  default_scopes: resource.defaultScopes,
  token_format: resource.tokenFormat,
  access_token_ttl_seconds: resource.ttlSeconds,
  signing_alg: resource.signingAlg,
  introspection_clients: resource.introspectionClients,
  authorization_details_types: resource.detailTypes,
  created_at: resource.createdAt.toISOString(),
  updated_at: resource.updatedAt.toISOString(),
});

export const recordOf = (identifier: string, asked: z.infer<typeof ChangedResource>): ResourceServerRecord => ({
  identifier,
  name: asked.name,
  scopes: asked.scopes,
  defaultScopes: [...new Set(asked.default_scopes)],
  tokenFormat: asked.token_format,
  ttlSeconds: asked.access_token_ttl_seconds,
  signingAlg: asked.signing_alg,
  introspectionClients: [...new Set(asked.introspection_clients)],
  detailTypes: asked.authorization_details_types,
});

/** The APIs that tokens are for. */
export const adminResourceRoutes = (resources: ResourceRegistry, requireUser: RequireUser) =>
  new Router<SignedIn>({ prefix: '/admin/resources' })
    .use(jsonBody)
    .use(requireUser)
    .get('/', requirePermission('read:resources'), async (ctx) => {
      const { cursor = '', limit } = queryOf(ctx, ResourceListQuery);
      const items = await resources.list(cursor, limit + 1);
      const page = items.slice(0, limit);
      const last = page.at(-1)?.identifier;
      ctx.body = {
        items: page.map(resourceJson),
        next_cursor: items.length > limit && last ? Buffer.from(last).toString('base64url') : null,
      };
    })
    .post('/', requirePermission('write:resources'), async (ctx) => {
      const { identifier, ...asked } = jsonOf(ctx, NewResource);
      const created = await resources.create(recordOf(identifier, asked));
      ctx.status = 201;
      ctx.body = resourceJson(created);
    })
    .get('/one', requirePermission('read:resources'), async (ctx) => {
      ctx.body = resourceJson(await resources.get(queryOf(ctx, ResourceQuery).identifier));
    })
    .put('/one', requirePermission('write:resources'), async (ctx) => {
      const { identifier } = queryOf(ctx, ResourceQuery);
      const { identifier: registered } = await resources.get(identifier);
      ctx.body = resourceJson(await resources.replace(recordOf(registered, jsonOf(ctx, ChangedResource))));
    })
    .delete('/one', requirePermission('write:resources'), async (ctx) => {
      jsonOf(ctx, RemovedResource);
      await resources.remove(queryOf(ctx, ResourceQuery).identifier);
      ctx.status = 204;
    });
