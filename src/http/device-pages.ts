import type { Context } from 'koa';
import { askedScopes } from '../oidc/asked-scopes.ts';
import type { DevicePages } from '../oidc/features/decoupled.ts';
import type { EnginePages } from '../oidc/provider.ts';
import type { ResourceRegistry } from '../oidc/resource-servers.ts';
import { clientCard } from './engine-pages.ts';
import type { Pages } from './pages.ts';
import { resourceLines } from './resource-lines.ts';

/** The pages on which a person lets another device in (RFC 8628 §3.3). */
export const createDevicePages = (
  pages: Pages,
  engine: Pick<EnginePages, 'error'>,
  registry: ResourceRegistry,
): DevicePages => ({
  code(ctx, form, error) {
    pages.render(ctx as unknown as Context, 'device', { ...form, error });
  },
  async confirm(ctx, form, { client, scope, resource, place }) {
    const asked = await askedScopes(registry, scope, resource);
    pages.render(ctx as unknown as Context, 'device-confirm', {
      ...form,
      userCode: form.userCode ?? '',
      client: clientCard(client),
      scopes: asked.scopes.map((name) => ({ name })),
      resources: await resourceLines(registry, asked.resources),
      place,
    });
  },
  done(ctx, client, allowed) {
    pages.render(ctx as unknown as Context, 'device-done', { client: client && clientCard(client), allowed });
  },
  error: engine.error,
});
