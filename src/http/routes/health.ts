// The routes: one module per noun, each of which reads as the table of what it serves.
import { Router } from '@koa/router';

type Check = () => Promise<Record<string, { status: 'up' | 'down'; latency_ms: number }>>;

/** GET /health: 200 while every store answers, 503 as soon as one does not. */
export const healthRoutes = (check: Check, version: string) =>
  new Router().get('/health', async (ctx) => {
    const stores = await check();
    const down = Object.values(stores).some(({ status }) => status === 'down');
    ctx.status = down ? 503 : 200;
    ctx.set('Cache-Control', 'no-store');
    if (down) ctx.set('Retry-After', '5');
    ctx.body = { status: down ? 'down' : 'up', version, stores };
  });
