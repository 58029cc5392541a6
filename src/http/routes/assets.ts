import { readdirSync, readFileSync } from 'node:fs';
import { Router } from '@koa/router';

/** The files under views/assets, read once: a name that is not among them is a 404, whatever dots or slashes it has. */
export const assetRoutes = (directory = new URL('../../../views/assets/', import.meta.url)) => {
  const files = new Map(readdirSync(directory).map((name) => [name, readFileSync(new URL(name, directory))]));
  return new Router().get('/assets/:name', (ctx) => {
    const file = files.get(String(ctx.params.name));
    if (!file) return;
    ctx.type = String(ctx.params.name).replace(/.*\./, '');
    // The pages ask by content hash (?v=…), so what is behind one address never changes.
    ctx.set('Cache-Control', ctx.query.v === undefined ? 'no-cache' : 'public, max-age=31536000, immutable');
    ctx.body = file;
  });
};
