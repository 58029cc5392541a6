import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';

// What is in it, and from whom, its first lines say: gunzip -c common-passwords.txt.gz | head -5
const FILE = new URL('./common-passwords.txt.gz', import.meta.url);
const NEWLINE = 10;

/** The list as it is in the file, sorted by bytes, each line ending in a newline; some hundred kilobytes. */
let list: Promise<Buffer> | undefined;

const load = async (): Promise<Buffer> => {
  const text = await promisify(gunzip)(await readFile(FILE));
  return text.subarray(text.indexOf('\n\n') + 2);
};

/** Whether a password, lower-cased and in NFKC, is one of those that everybody tries first. */
export const isCommon = async (key: string): Promise<boolean> => {
  list ??= load();
  const lines = await list;
  const wanted = Buffer.from(key);
  let [low, high] = [0, lines.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    const start = middle === 0 ? 0 : lines.lastIndexOf(NEWLINE, middle - 1) + 1;
    const end = lines.indexOf(NEWLINE, middle);
    const order = wanted.compare(lines, start, end);
    if (order === 0) return true;
    if (order < 0) high = start;
    else low = end + 1;
  }
  return false;
};
