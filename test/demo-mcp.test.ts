// npm run demo:mcp beside a running service, as somebody does who tries it.
import test from 'ava';
import { freePort, killAll, run, type Service, startScript, startService } from './helpers/service.ts';

let service: Service;
test.before(async () => {
  service = await startService();
});
test.after.always(killAll);

const env = () => ({ DATA_DIR: service.dataDir, PORT: String(service.port) });

test('the demo MCP server registers itself, the first time and every other, and says where it is', async (t) => {
  const port = await freePort();
  for (let start = 0; start < 2; start += 1) {
    const demo = await startScript('scripts/demo-mcp-server.ts', env(), /Its metadata: .*\n/, ['--port', String(port)]);
    const resource = /Demo MCP server: (\S+)/.exec(demo.output())?.[1] ?? '';
    t.is(resource, `http://localhost:${port}/mcp`);
    const refused = await fetch(resource, { method: 'POST' });
    t.is(refused.status, 401);
    t.regex(refused.headers.get('www-authenticate') ?? '', /^Bearer scope="notes:read", resource_metadata="/);

    const [, id = '', secret = ''] = /Demo client +(\S+) +secret (\S+)/.exec(service.output()) ?? [];
    const answer = await fetch(`${service.origin}/oauth/token`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: id,
        client_secret: secret,
        resource,
      }),
    });
    const { access_token } = (await answer.json()) as { access_token: string };
    const list = await fetch(resource, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${access_token}`,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    });
    t.is(list.status, 200);
    t.regex(await list.text(), /add_note/);
    await demo.kill();
  }
});

test('where it cannot run it says why in one line', async (t) => {
  for (const [args, more, words] of [
    [[], { PORT: String(await freePort()) }, /Run npm start first/],
    [['--port', 'many'], {}, /--port is a number/],
    [['--port', String(service.port)], {}, /cannot be listened on/],
    [['--porto', '1'], {}, /usage/],
  ] as const) {
    const { code, stderr } = await run('scripts/demo-mcp-server.ts', [...args], { ...env(), ...more });
    t.is(code, 1);
    t.regex(stderr, words);
    t.is(stderr.trim().split('\n').length, 1);
  }
});
