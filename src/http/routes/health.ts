// The routes: one module per noun, each of which reads as the table of what it serves.
import { Router } from '@koa/router';
import type { Context } from 'koa';
import type { Seen } from '../seen.ts';

type Check = () => Promise<Record<string, { status: 'up' | 'down'; latency_ms: number }>>;

/**
 * GET /health: 200 while every store answers, 503 as soon as one does not.
 *
 * @param seen What is told besides to whoever proves that they may know.
 */
export const healthRoutes = (check: Check, version: string, seen: (ctx: Context) => Seen | undefined) =>
  new Router().get('/health', async (ctx) => {
    const stores = await check();
    const down = Object.values(stores).some(({ status }) => status === 'down');
    ctx.status = down ? 503 : 200;
    ctx.set('Cache-Control', 'no-store');
    if (down) ctx.set('Retry-After', '5');
    const told = seen(ctx);
    ctx.body = { status: down ? 'down' : 'up', version, stores, ...(told && { seen: told }) };
  });
