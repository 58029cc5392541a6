// Registers an app: npm run create-client -- --metadata FILE|- [--first-party]
// FILE holds RFC 7591 client metadata as JSON (- reads standard input). The answer has the secret, which is not shown again.
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { argumentsOf, required, script, UsageError, withApp } from './with-app.ts';

const USAGE = '--metadata FILE|- [--first-party]';
const Metadata = z.record(z.string(), z.unknown());

const read = async (source: string): Promise<string> => {
  if (source === '-') return text(process.stdin);
  try {
    return await readFile(source, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unreadable';
    throw new UsageError(`--metadata ${source} cannot be read: ${code}`);
  }
};

await script(async () => {
  const { metadata, 'first-party': firstParty } = argumentsOf(
    { metadata: { type: 'string' }, 'first-party': { type: 'boolean' } },
    USAGE,
  );
  const source = required(metadata, 'metadata', USAGE);
  const json = await read(source);
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    throw new UsageError(`--metadata ${source} is not JSON`);
  }
  const requested = Metadata.safeParse(parsed);
  if (!requested.success) throw new UsageError(`--metadata ${source} is not a JSON object`);
  return withApp(({ clients }) => clients.register(requested.data, firstParty ?? false));
});
