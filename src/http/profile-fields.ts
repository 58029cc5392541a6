import { z } from 'zod';
import { lines, words } from './operations/fields.ts';

const line = words(200).min(1).nullable();
const webAddress = z
  .url({ protocol: /^https?$/ })
  .max(2000)
  .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), 'has control characters')
  .nullable();

// As the database spells them; an offset such as +05:30 is no zone.
const ZONE = /^[A-Z][\w+-]*(\/[A-Z][\w+-]*)*$/;
/** More than there are names. */
const MOST_ZONES = 1_000;

// Known to be zones: making a format takes a while, and an import asks a million times.
const zones = new Set<string>();

/** Whether there is such a zone. The list that Intl gives has one name of each, and for some a former one: Asia/Calcutta alone. */
const isTimeZone = (zone: string): boolean => {
  if (zones.has(zone)) return true;
  if (!ZONE.test(zone)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
  } catch {
    return false;
  }
  if (zones.size < MOST_ZONES) zones.add(zone);
  return true;
};

/** Whether there is such a day. Year 0000 is for a birthday without its year (OIDC Core §5.1), and has a 29 February. */
const isOnCalendar = (text: string): boolean => {
  const [year, month, day] = text.split('-').map(Number);
  // What is no date at all has been said already.
  if (year === undefined || month === undefined || day === undefined || month < 1 || month > 12) return true;
  // Date.UTC takes years below 100 for those of the last century; 400 years have the same days.
  return new Date(Date.UTC(year + 400, month - 1, day)).getUTCDate() === day;
};

/** OIDC Core §5.1's claims as they may be given; null is for none. */
export const profileFields = {
  name: line.optional(),
  given_name: line.optional(),
  family_name: line.optional(),
  middle_name: line.optional(),
  nickname: line.optional(),
  profile: webAddress.optional(),
  picture: webAddress.optional(),
  website: webAddress.optional(),
  gender: line.optional(),
  birthdate: z
    .string()
    .regex(
      /^(\d{4}(-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))?|0000-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01]))$/,
      'is a year or a date: YYYY or YYYY-MM-DD',
    )
    .refine(isOnCalendar, 'is no day of the calendar')
    .nullable()
    .optional(),
  zoneinfo: z.string().refine(isTimeZone, 'is no IANA time zone').nullable().optional(),
  locale: z
    .string()
    .regex(/^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*$/, 'is no language tag')
    .max(35)
    .nullable()
    .optional(),
  phone_number: z
    .string()
    .regex(/^\+[1-9]\d{5,14}$/, 'is not in E.164 form, such as +14255551212')
    .nullable()
    .optional(),
  address: z
    .strictObject({
      formatted: lines(500).optional(),
      street_address: lines(500).optional(),
      locality: words(200).optional(),
      region: words(200).optional(),
      postal_code: words(50).optional(),
      country: words(200).optional(),
    })
    .nullable()
    .optional(),
};
