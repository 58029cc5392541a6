import { github } from './github.ts';
import { google } from './google.ts';

/** Every kind of provider with variables of its own: another one is a file beside github.ts, named here. */
export const KINDS = [google, github] as const;
