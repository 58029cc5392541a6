import type { Context } from 'koa';
import type { DevicePages } from '../oidc/features/decoupled.ts';
import type { EnginePages } from '../oidc/provider.ts';
import { clientCard } from './engine-pages.ts';
import type { Pages } from './pages.ts';

/** The pages on which a person lets another device in (RFC 8628 §3.3). */
export const createDevicePages = (pages: Pages, engine: Pick<EnginePages, 'error'>): DevicePages => ({
  code(ctx, form, error) {
    pages.render(ctx as unknown as Context, 'device', { ...form, error });
  },
  confirm(ctx, form, { client, scopes, place }) {
    pages.render(ctx as unknown as Context, 'device-confirm', {
      ...form,
      userCode: form.userCode ?? '',
      client: clientCard(client),
      scopes: scopes.map((name) => ({ name })),
      place,
    });
  },
  done(ctx, client, allowed) {
    pages.render(ctx as unknown as Context, 'device-done', { client: client && clientCard(client), allowed });
  },
  error: engine.error,
});
