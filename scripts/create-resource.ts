// Registers an API that apps can ask tokens for: npm run create-resource -- --metadata FILE|-
// FILE holds what POST /admin/resources takes, as JSON (- reads standard input).
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { NewResource } from '../src/http/operations/admin-resources.ts';
import { recordOf, resourceJson } from '../src/http/routes/admin-resources.ts';
import { argumentsOf, required, script, UsageError, withApp } from './with-app.ts';

const USAGE = '--metadata FILE|-';

await script(async () => {
  const { metadata } = argumentsOf({ metadata: { type: 'string' } }, USAGE);
  const source = required(metadata, 'metadata', USAGE);
  let parsed: unknown;
  try {
    parsed = JSON.parse(source === '-' ? await text(process.stdin) : await readFile(source, 'utf8'));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'not JSON';
    throw new UsageError(`--metadata ${source} cannot be read: ${code}`);
  }
  const asked = NewResource.safeParse(parsed);
  if (!asked.success) throw new UsageError(`--metadata: ${z.prettifyError(asked.error).replaceAll('\n', ' ')}`);
  const { identifier, ...columns } = asked.data;
  return withApp(async ({ resources }) => resourceJson(await resources.create(recordOf(identifier, columns))));
});
