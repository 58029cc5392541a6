import { readFileSync } from 'node:fs';
import { parseEnv } from 'node:util';

// One entry per match: blank or comment, or NAME=value whose value is quoted, or holds neither quotes in front nor a #.
const dotEnvLine =
  /[ \t]*(#.*|(export[ \t]+)?[a-z_]\w*[ \t]*=[ \t]*("[^"]*"|'[^']*'|`[^`]*`|([^\s"'`#]([^#\r\n]*[^#\s])?)?)([ \t]*|[ \t]+#.*))?\r?(\n|$)/iy;

/** Node's parser passes over what it cannot read; a setting that is silently left out is worth a message. */
export function readDotEnv(path: string): { env: Record<string, string | undefined>; problems: string[] } {
  let source: string;
  try {
    source = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : 'unknown error';
    return { env: {}, problems: code === 'ENOENT' ? [] : [`${path} cannot be read (${code})`] };
  }
  const problems: string[] = [];
  // What cannot be read is left out of what is parsed, so that an open quote does not swallow the lines after it.
  let readable = '';
  for (let at = 0; at < source.length; at = dotEnvLine.lastIndex) {
    dotEnvLine.lastIndex = at;
    const [entry] = dotEnvLine.exec(source) ?? [];
    if (entry !== undefined) {
      readable += entry;
      continue;
    }
    const line = source.slice(0, at).split('\n').length;
    problems.push(
      `${path} line ${line} is not NAME=value (quotes closed, and around a value that holds quotes or a #)`,
    );
    const end = source.indexOf('\n', at);
    dotEnvLine.lastIndex = end < 0 ? source.length : end + 1;
  }
  return { env: parseEnv(readable), problems };
}
