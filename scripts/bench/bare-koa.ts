// What GET /users/me is compared with: a Koa application that answers the same JSON and does nothing else.
import Koa from 'koa';

const body = JSON.parse(process.env.BENCH_BODY ?? '{}');
new Koa()
  .use((ctx) => {
    ctx.body = body;
  })
  .listen(Number(process.env.PORT), 'localhost');
