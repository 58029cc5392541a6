// A protected MCP server to sign in to, registered as a resource of this service: npm run demo:mcp [-- --port PORT]

import { loadConfig } from '../src/config.ts';
import { DomainError } from '../src/domain/errors.ts';
import { NewResource } from '../src/http/operations/admin-resources.ts';
import { recordOf } from '../src/http/routes/admin-resources.ts';
import { startMcpServer } from './demo-mcp/server.ts';
import { argumentsOf, UsageError, withApp } from './with-app.ts';

const USAGE = '[--port PORT]';

const start = async (): Promise<string> => {
  const { port = '8310' } = argumentsOf({ port: { type: 'string' } }, USAGE);
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new UsageError(`--port is a number from 0 to 65535 (usage: ${USAGE})`);
  const { config } = loadConfig();
  if (config.production) throw new UsageError('The demo is for development: it does not run with NODE_ENV=production.');
  await fetch(`${config.issuer}/health`).catch((error: Error) => {
    throw new UsageError(`No answer from ${config.issuer} (${error.message}). Run npm start first.`);
  });
  const { issuer } = config;
  const server = await startMcpServer({
    issuer,
    port: Number(port),
    onError: (error) => process.stderr.write(`${error instanceof Error ? error.message : error}\n`),
  }).catch((error: NodeJS.ErrnoException) => {
    throw error.syscall === 'listen' ? new UsageError(`Port ${port} cannot be listened on (${error.code}).`) : error;
  });
  try {
    const { identifier, ...columns } = NewResource.parse(server.registration);
    await withApp(({ resources }) => resources.create(recordOf(identifier, columns)));
  } catch (error) {
    // From an earlier start.
    if (!(error instanceof DomainError && error.code === 'resource_exists')) throw error;
  }
  return `\n  Demo MCP server: ${server.resource}\n  Signs in with:   ${issuer}\n  Its metadata:    ${server.metadataUrl}\n\n`;
};

try {
  process.stdout.write(await start());
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exit(1);
}
