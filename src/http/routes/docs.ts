import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Router } from '@koa/router';
// Not the package itself, which runs the whole of Swagger UI when it is loaded.
import swaggerUiPath from 'swagger-ui-dist/absolute-path.js';
import { openApiDocument } from '../openapi.ts';
import { allOperations } from '../operations/all.ts';
import type { Pages } from '../pages.ts';

// No inline code and nothing from elsewhere. Swagger UI draws its icons as data: URLs.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const START = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  // Credentials live as long as the page: nothing is kept in the browser.
  persistAuthorization: false,
  // No badge: it would send the description to somebody else's service.
  validatorUrl: null,
});
`;

/** The description of this API: OpenAPI 3.1 for programs, open to every origin, and a page to read and try it. */
export const docsRoutes = (issuer: string, version: string, pages: Pages) => {
  const document = openApiDocument(allOperations, issuer, version);
  const bundled = (name: string) => readFileSync(join(swaggerUiPath(), name));
  const files = new Map([
    ['swagger-ui.css', bundled('swagger-ui.css')],
    ['swagger-ui-bundle.js', bundled('swagger-ui-bundle.js')],
    ['start.js', Buffer.from(START)],
  ]);
  return new Router()
    .get('/openapi.json', (ctx) => {
      ctx.set('Access-Control-Allow-Origin', '*');
      ctx.body = document;
    })
    .get('/docs', (ctx) => {
      pages.render(ctx, 'docs', {});
      ctx.set('Content-Security-Policy', POLICY);
    })
    .get('/docs/:file', (ctx) => {
      const file = files.get(String(ctx.params.file));
      if (!file) return;
      ctx.type = String(ctx.params.file).replace(/.*\./, '');
      ctx.set('Cache-Control', 'public, max-age=3600');
      ctx.body = file;
    });
};
