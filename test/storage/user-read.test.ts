// A user is read past Prisma: what is found has to be what Prisma finds.
import { randomUUID } from 'node:crypto';
import test from 'ava';
import { openPrisma } from '../../src/storage/prisma.ts';
import { createUnits } from '../../src/storage/units.ts';
import { createUserRead } from '../../src/storage/user-read.ts';
import { testDatabase } from '../helpers/database.ts';

const database = await testDatabase();
const client = openPrisma(database.pool);
const { prisma, current, atomically } = createUnits(client);
const read = createUserRead(prisma, database.pool, current);
test.after.always(async () => {
  await client.$disconnect();
  await database.close();
});

const bare = (name: string) => ({ id: randomUUID(), email: `${name}@example.com`, emailKey: `${name}@example.com` });

test('a user is found as Prisma finds them, by whatever names them', async (t) => {
  const moment = new Date('2026-03-04T05:06:07.089Z');
  const user = await client.user.create({
    data: {
      ...bare('full'),
      emailVerified: true,
      holderProven: true,
      pendingEmail: 'other@example.com',
      pendingEmailUntil: moment,
      username: 'Full',
      usernameKey: 'full',
      passwordHash: '$argon2id$…',
      credentialsEpoch: 7,
      bannedAt: moment,
      bannedUntil: new Date('9999-12-31T23:59:59.999Z'),
      banReason: 'for a test',
      eraseAfter: moment,
      name: 'Ünïcödé 名前',
      givenName: 'given',
      familyName: 'family',
      middleName: 'middle',
      nickname: 'nick',
      profile: 'https://example.com/profile',
      picture: 'https://example.com/picture',
      website: 'https://example.com/',
      gender: 'any',
      birthdate: '0000-12-31',
      zoneinfo: 'Europe/Zurich',
      locale: 'zh-CN',
      phoneNumber: '+41 44 000 00 00',
      phoneNumberVerified: true,
      address: { locality: 'Zürich', country: 'CH' },
    },
  });
  t.true(Object.values(user).every((value) => value !== null && value !== undefined));
  t.deepEqual(await read('id', user.id), user);
  t.deepEqual(await read('emailKey', user.emailKey), user);
  t.deepEqual(await read('usernameKey', 'full'), user);
});

test('what a user has not got is null, as with Prisma, and who is not there is undefined', async (t) => {
  const user = await client.user.create({ data: bare('bare') });
  t.deepEqual(await read('id', user.id), user);
  t.is(await read('id', randomUUID()), undefined);
  t.is(await read('emailKey', 'nobody@example.com'), undefined);
  t.is(await read('usernameKey', 'nobody'), undefined);
});

test('a unit of work sees what it has written', async (t) => {
  const columns = bare('inside');
  const found = await atomically(async () => {
    await prisma.user.create({ data: columns });
    return read('emailKey', columns.emailKey);
  });
  t.is(found?.id, columns.id);
});
