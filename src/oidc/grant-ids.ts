import { randomBytes } from 'node:crypto';
import { sha256 } from '../domain/secrets.ts';

/** A grant's identifier that nobody can guess. */
export const newGrantId = (): string => randomBytes(32).toString('base64url');

/** One that says of which grant it was made, to whoever has that grant stored: it ends with it. */
export const grantIdUnder = (parentId: string): string => `${newGrantId()}.${sha256(parentId)}`;

/** The hash that the grant is stored under of which this one was made; undefined for one that stands by itself. */
export const parentHashOf = (grantId: string): string | undefined => grantId.split('.')[1];
