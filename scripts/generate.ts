// Generates the Prisma client after an install. Prisma's CLI would download its schema engine first, which
// `generate` does not use: naming any existing file as that engine keeps the command off the internet.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

const cli = (() => {
  try {
    return createRequire(import.meta.url).resolve('prisma/build/index.js');
  } catch {
    // A production install without dev dependencies brings the generated client along (see Dockerfile).
    return undefined;
  }
})();

if (cli) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [cli, 'generate', '--schema', 'prisma/schema.prisma', '--no-hints'],
    {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: `${root}package.json`, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
    },
  );
  if (status !== 0) {
    process.stderr.write(`prisma generate failed:\n${stdout}${stderr}`);
    process.exit(1);
  }
}
