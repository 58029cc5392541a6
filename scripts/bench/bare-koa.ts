// What GET /users/me is compared with: a Koa application that answers the same JSON and does nothing else.
import Koa from 'koa';

const [, , port, json = '{}'] = process.argv;
const body = JSON.parse(json);
new Koa()
  .use((ctx) => {
    ctx.body = body;
  })
  .listen(Number(port), 'localhost');
