import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { bcryptHash } from './bcrypt-thread.ts';
import { type Family, malformed, numberOf, tooCostly } from './form.ts';

const MIN_COST = 4;
const MAX_COST = 15;

const SALT = '[./A-Za-z0-9]{22}';
const DIGEST = '[./A-Za-z0-9]{31}';
const CRYPT = new RegExp(`^\\$2[aby]\\$(\\d\\d)\\$(${SALT})(${DIGEST})$`);

/** @param prepared What bcrypt is given for a password, of which it takes the first 72 bytes. */
const bcrypt = (costText: string, salt: string, digest: string, prepared: (password: string) => string) => {
  const cost = numberOf(costText.replace(/^0(?=\d)/, ''), 'the cost');
  if (cost < MIN_COST) throw malformed(`the cost of bcrypt is ${MIN_COST} at least`);
  if (cost > MAX_COST) throw tooCostly(`bcrypt is taken up to cost ${MAX_COST}`);
  // The three letters stand for mended bugs of old implementations; nothing that is verified here depends on them.
  const setting = `$2b$${String(cost).padStart(2, '0')}$${salt}`;
  return {
    async verify(password: string): Promise<boolean> {
      // The digest alone: the last digit of a salt has unused bits, which not everybody sets to zero.
      const made = (await bcryptHash(prepared(password), setting)).slice(-31);
      return timingSafeEqual(Buffer.from(made), Buffer.from(digest));
    },
  };
};

const plain = (password: string): string => password;

/**
 * bcrypt (`$2b$12$…`), and what is wrapped around it so that long passwords count to their end: Django's `bcrypt_sha256$…`,
 * passlib's `$bcrypt-sha256$…` in both its versions.
 */
export const bcryptFamily: Family = (text) => {
  const wrong = malformed('a bcrypt hash is $2b$, the cost in two digits, $ and 53 characters');
  const crypt = /^(bcrypt\$|bcrypt_sha256\$)?(\$2.*)$/.exec(text);
  if (crypt) {
    const [, cost = '', salt = '', digest = ''] = CRYPT.exec(crypt[2] ?? '') ?? [];
    if (digest === '') throw wrong;
    const hashed = (password: string) => createHash('sha256').update(password).digest('hex');
    return bcrypt(cost, salt, digest, crypt[1] === 'bcrypt_sha256$' ? hashed : plain);
  }
  const [, ofVersion2, ofVersion1, salt = '', digest = ''] =
    new RegExp(`^\\$bcrypt-sha256\\$(?:v=2,t=2[aby],r=(\\d{1,2})|2[aby],(\\d{1,2}))\\$(${SALT})\\$(${DIGEST})$`).exec(
      text,
    ) ?? [];
  if (ofVersion2 !== undefined)
    return bcrypt(ofVersion2, salt, digest, (password) => createHmac('sha256', salt).update(password).digest('base64'));
  if (ofVersion1 !== undefined)
    return bcrypt(ofVersion1, salt, digest, (password) => createHash('sha256').update(password).digest('base64'));
  if (/^\$?bcrypt/.test(text)) throw wrong;
  return undefined;
};
