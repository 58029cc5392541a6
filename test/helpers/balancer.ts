// A load balancer in front of several servers: each request goes to the next one, with a connection of its own.
import { once } from 'node:events';
import { Agent, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

export const startBalancer = async () => {
  const agent = new Agent({ keepAlive: false });
  let ports: number[] = [];
  let turn = 0;
  const served = new Map<number, number>();
  const server = createServer((req, res) => {
    const port = ports[turn % ports.length] ?? 0;
    turn += 1;
    served.set(port, (served.get(port) ?? 0) + 1);
    const onward = request(
      { agent, host: '127.0.0.1', port, method: req.method, path: req.url, headers: req.headers },
      (answer) => {
        res.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.pipe(res);
      },
    );
    onward.on('error', ({ message }) => (res.headersSent ? res.destroy() : res.writeHead(502).end(message)));
    req.pipe(onward);
  });
  server.listen(0, 'localhost');
  await once(server, 'listening');
  return {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    /** From now on these servers get the requests. */
    lead(...to: number[]) {
      ports = to;
    },
    /** Requests that a server got so far. */
    served: (port: number): number => served.get(port) ?? 0,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
};

export type Balancer = Awaited<ReturnType<typeof startBalancer>>;
