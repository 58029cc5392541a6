// What the routes of the REST API take and answer, in the schemas that validate. This file: the parts they share.
import { z } from 'zod';
import { KEY_SCOPES } from '../../domain/claims.ts';

// Control characters have no place in a name, and PostgreSQL refuses NUL.
const NO_CONTROL = 'has control characters';
// Half of a surrogate pair is no character, and no database takes it.
const whole = (text: string) => text.isWellFormed();

/** One line of text. */
export const words = (max: number) =>
  z
    .string()
    .trim()
    .regex(/^\P{Cc}*$/u, NO_CONTROL)
    .refine(whole, NO_CONTROL)
    .max(max);

/** Text of several lines. */
export const lines = (max: number) =>
  z
    .string()
    .trim()
    .regex(/^[\P{Cc}\n]*$/u, NO_CONTROL)
    .refine(whole, NO_CONTROL)
    .max(max);

/** An address as it is typed; whether it can be one, the domain says. */
export const Email = z.string().trim().min(1).max(320);

// Every half of a character would be hashed as one and the same.
const HALF = 'has half of a character';

/** A password somebody has or wants; what it needs, the domain says. */
export const Password = z.string().min(1).max(1024).refine(whole, HALF);
/** One somebody chooses, where the domain says all of what is wrong with it. */
export const ChosenPassword = z.string().max(1024).refine(whole, HALF);

/** What came in a mail. */
export const OneTimeToken = z.string().min(1).max(512);

const FIRST_MOMENT = Date.parse('0001-01-01T00:00:00Z');
const LAST_MOMENT = Date.parse('9999-12-31T23:59:59.999Z');

/** A moment that has four digits for its year in UTC too; no zone means UTC to nobody, so one is needed. */
export const Moment = z.iso.datetime({ offset: true }).refine((text) => {
  const moment = Date.parse(text);
  // What is no moment at all has been said already.
  return Number.isNaN(moment) || (moment >= FIRST_MOMENT && moment <= LAST_MOMENT);
}, 'is not in the years 1 to 9999, in UTC');

/** ISO 8601, in UTC. */
export const Timestamp = z.iso.datetime();

/** An account: the predecessor's fields, then OIDC's standard claims (OIDC Core §5.1), absent while they are not known. */
export const Account = z
  .strictObject({
    id: z.uuid(),
    email: z.string(),
    username: z.string().nullable(),
    role: z.string(),
    is_active: z.boolean(),
    email_verified: z.boolean(),
    /** Asked for, and not proven yet. */
    pending_email: z.string().optional(),
    name: z.string().optional(),
    given_name: z.string().optional(),
    family_name: z.string().optional(),
    middle_name: z.string().optional(),
    nickname: z.string().optional(),
    profile: z.string().optional(),
    picture: z.string().optional(),
    website: z.string().optional(),
    gender: z.string().optional(),
    birthdate: z.string().optional(),
    zoneinfo: z.string().optional(),
    locale: z.string().optional(),
    phone_number: z.string().optional(),
    phone_number_verified: z.boolean().optional(),
    address: z.record(z.string(), z.string()).optional(),
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: 'User' });

/** A permission that an API key can be made for. */
export const KeyScope = z.enum(KEY_SCOPES);

/** For what takes nothing: an empty body or none. */
export const NoBody = z.strictObject({});

/** Of a rule over several fields: it holds as well where others are wrong, so that all that is wrong is told at once. */
export const anyway = { when: ({ value }: { value: unknown }) => typeof value === 'object' && value !== null };
