import { setImmediate } from 'node:timers/promises';
import type { z } from 'zod';
import type { ImportFault } from '../domain/user-import.ts';
import { faultsOf } from './validate.ts';

/** Lines read at a stretch: short ones come by the thousand, and other requests want their turn. */
const STRETCH = 250;

/** More lines than are taken at once. */
export class TooManyLines extends Error {}

/** The stream cut into lines, without empty ones; `bytes` is missing for one that is too long, of which only its end is waited for. */
async function* linesOf(
  stream: AsyncIterable<Buffer>,
  maxBytes: number,
  maxLines: number,
): AsyncGenerator<{ line: number; bytes?: Buffer }> {
  let parts: Buffer[] = [];
  let length = 0;
  let line = 1;
  const take = (part: Buffer) => {
    length += part.length;
    if (length > maxBytes) parts = [];
    else if (part.length > 0) parts.push(part);
  };
  const finished = () => {
    const read = length > maxBytes ? { line } : { line, bytes: Buffer.concat(parts) };
    parts = [];
    length = 0;
    line += 1;
    return read;
  };
  for await (const chunk of stream) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      take(chunk.subarray(start, end));
      start = end + 1;
      if (line > maxLines) throw new TooManyLines();
      if (line % STRETCH === 0) await setImmediate();
      if (length > 0) yield finished();
      else line += 1;
    }
    take(chunk.subarray(start));
  }
  if (length === 0) return;
  if (line > maxLines) throw new TooManyLines();
  yield finished();
}

/**
 * Newline-delimited JSON, each line as the schema says or with what is wrong with it; empty lines are passed over.
 * Holds one line at a time.
 *
 * @throws {TooManyLines}, and what the stream ends in.
 */
export async function* ndjson<T extends z.ZodType>(
  stream: AsyncIterable<Buffer>,
  schema: T,
  { maxBytes, maxLines }: { maxBytes: number; maxLines: number },
): AsyncGenerator<{ line: number } & ({ value: z.infer<T> } | { faults: ImportFault[] })> {
  const utf8 = new TextDecoder('utf-8', { fatal: true });
  const whole = (code: string, message: string) => ({ faults: [{ code, message, path: '' }] });
  const read = (bytes: Buffer | undefined) => {
    if (bytes === undefined) return whole('line_too_long', `a line has at most ${maxBytes} bytes`);
    let text: string;
    try {
      text = utf8.decode(bytes);
    } catch {
      return whole('invalid_utf8', 'the line is not UTF-8');
    }
    if (text.trim() === '') return undefined;
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch {
      return whole('invalid_json', 'the line is not JSON');
    }
    const parsed = schema.safeParse(json);
    if (parsed.success) return { value: parsed.data };
    return { faults: faultsOf(parsed.error).map((fault) => ({ code: 'invalid_field', ...fault })) };
  };
  for await (const { line, bytes } of linesOf(stream, maxBytes, maxLines)) {
    const item = read(bytes);
    if (item) yield { line, ...item };
  }
}
