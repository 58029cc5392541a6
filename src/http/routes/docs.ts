import { Router } from '@koa/router';
import openapi from '../openapi.json' with { type: 'json' };

/** The description of this API for programs and API tools: OpenAPI 3.1, open to every origin. */
export const docsRoutes = () =>
  new Router().get('/openapi.json', (ctx) => {
    ctx.set('Access-Control-Allow-Origin', '*');
    ctx.body = openapi;
  });
