import type { Pool } from 'pg';
import type { PrismaClient } from './prisma.ts';
import { COUNTED, createQuery, createUserCounts } from './user-counts.ts';
import {
  allOf,
  anyOf,
  beginningsOf,
  type Condition,
  conditionsOf,
  type Param,
  SORT_KEYS,
  type UserFilter,
  type UserSortKey,
} from './user-filter.ts';
import type { User } from './users.ts';

export type { UserFilter };

/** Names go by code points; who has no username comes before everybody who has one. */
export type UserOrder = { by: UserSortKey; descending: boolean };

/** A place in an order: what it is ordered by, and the id among equals. */
export type UserPosition = { key: string; id: string };

export type UserPage = {
  users: User[];
  /** After what the next page begins; undefined for the last. A page can be short, or empty, and not be the last. */
  next: UserPosition | undefined;
  total: number;
  /** Whether `total` is the planner's guess. */
  isEstimate: boolean;
};

/** So few are all looked at and sorted; where there may be more, they are looked for along the order. */
const SORTED = 5_000;
/** The same where an index alone tells the order, by the planner's estimate. */
const SORTED_BY_INDEX = 40_000;
/** How many users are looked at along the order for one page, and in what steps: most pages are full after the first. */
const STEPS = [1_000, 4_000];

type Row = { key: string | Date; id: string };
/** Part of a list in its order. `next` is the place up to which it is complete; undefined when it is so to the end. */
type Part = { places: UserPosition[]; next: UserPosition | undefined };
/** What a part is read by: an order, from a place in it on, for so many users. */
type Reading = { order: UserOrder; after: UserPosition | undefined; limit: number };

type Read = (all: Condition[], reading: Reading) => Promise<Part>;
/** How those are read for whom `all` hold: `by` something at once, or past those for whom `others` do not, along what `leading` leads. */
type Way = { all: Condition[]; leading: Condition[]; others: Condition[]; by?: Read; isCovered?: boolean };

const positionOf = ({ key, id }: Row): UserPosition => ({ key: key instanceof Date ? key.toISOString() : key, id });

const partOf = (rows: Row[], limit: number): Part => {
  const places = rows.slice(0, limit).map(positionOf);
  return { places, next: rows.length > limit ? places.at(-1) : undefined };
};

/** Whether what is ordered by `key`, and by the id among equals, comes after `position`. */
const isBeyond = (key: string, { descending }: UserOrder, position: UserPosition | undefined, param: Param): string =>
  position === undefined
    ? 'true'
    : `(${key}, id) ${descending ? '<' : '>'} (${param(position.key)}, ${param(position.id)}::uuid)`;

const inOrder = (order: UserOrder) => {
  const key = SORT_KEYS[order.by];
  const direction = order.descending ? 'DESC' : 'ASC';
  return {
    key,
    direction,
    orderBy: `ORDER BY ${key} ${direction}, id ${direction}`,
    isAfter: (position: UserPosition | undefined, param: Param): string => isBeyond(key, order, position, param),
  };
};

// As PostgreSQL compares in the collation "C": by bytes, which is by code points. JavaScript's < is not.
const comparing =
  ({ descending }: UserOrder) =>
  (a: UserPosition, b: UserPosition): number =>
    (descending ? -1 : 1) *
    (Buffer.from(a.key).compare(Buffer.from(b.key)) || (a.id < b.id ? -1 : Number(a.id > b.id)));

/** Several parts of one list as one: each user once, as far as every part is complete. */
const merged = (parts: Part[], { order, limit }: Reading): Part => {
  const compare = comparing(order);
  const [horizon] = parts.flatMap(({ next }) => next ?? []).sort(compare);
  const unique = new Map(parts.flatMap(({ places }) => places).map((place) => [place.id, place]));
  const known = [...unique.values()].filter((place) => !horizon || compare(place, horizon) <= 0).sort(compare);
  const places = known.slice(0, limit);
  return { places, next: known.length > limit ? places.at(-1) : horizon };
};

export type UserSearch = ReturnType<typeof createUserSearch>;

/**
 * Lists users in any order under any conditions, in bounded time however many there are. There are three ways: along an index
 * that has both the order and the conditions; where few can fit, by looking at all of those; and else along the order, past those that
 * do not fit, up to a limit at which the page ends short.
 */
export const createUserSearch = (pool: Pool, prisma: PrismaClient) => {
  const query = createQuery(pool);
  const { countEach, estimate } = createUserCounts(query);

  const alongIndex = async (conditions: Condition[], { order, after, limit }: Reading): Promise<Part> => {
    const { key, isAfter, orderBy } = inOrder(order);
    const rows = await query<Row>(
      (param) => `SELECT ${key} AS key, id FROM users
        WHERE ${allOf(conditions, param)} AND ${isAfter(after, param)} ${orderBy} LIMIT ${limit + 1}`,
    );
    return partOf(rows, limit);
  };

  const sorted = async (conditions: Condition[], { order, after, limit }: Reading): Promise<Part> => {
    const { key, direction } = inOrder(order);
    // OFFSET 0 keeps the planner from taking the order for the shorter way.
    const rows = await query<Row>((param) => {
      const fitting = `SELECT ${key} AS key, id FROM users WHERE ${allOf(conditions, param)} OFFSET 0`;
      return `SELECT key, id FROM (${fitting}) fitting WHERE ${isBeyond('key', order, after, param)}
        ORDER BY key ${direction}, id ${direction} LIMIT ${limit + 1}`;
    });
    return partOf(rows, limit);
  };

  const walked = async (leading: Condition[], others: Condition[], reading: Reading): Promise<Part> => {
    const { order, limit } = reading;
    const { key, isAfter, orderBy } = inOrder(order);
    const probes = others.map((condition) => ({ ...condition, sql: condition.probe ?? condition.sql }));
    const rows: Row[] = [];
    let { after } = reading;
    for (const step of STEPS) {
      const seen = await query<Row & { fits: boolean; place: number }>(
        (param) => `WITH seen AS MATERIALIZED (
            SELECT ${key} AS key, id, (${allOf(probes, param)}) AS fits FROM users
            WHERE ${allOf(leading, param)} AND ${isAfter(after, param)} ${orderBy} LIMIT ${step}
          ), placed AS (SELECT *, row_number() OVER ()::int AS place FROM seen)
          SELECT * FROM placed WHERE fits OR place = ${step} ORDER BY place LIMIT ${limit + 2}`,
      );
      rows.push(...seen.filter(({ fits }) => fits));
      if (rows.length > limit) return partOf(rows, limit);
      const last = seen.at(-1);
      if (last?.place !== step) return { places: rows.map(positionOf), next: undefined };
      after = positionOf(last);
    }
    return { places: rows.map(positionOf), next: after };
  };

  return {
    /** @param after A position that an earlier page of the same list gave. */
    async list(
      filter: UserFilter,
      order: UserOrder,
      after: UserPosition | undefined,
      limit: number,
    ): Promise<UserPage> {
      const conditions = conditionsOf(filter);
      const beginnings = filter.prefix === undefined ? [] : beginningsOf(filter.prefix);
      const whole = (param: Param) => `${allOf(conditions, param)} AND (${anyOf(beginnings, param)})`;
      const everybody: Condition = { sql: () => 'true', indexed: true };

      const { each, any } = await countEach([everybody, ...conditions], beginnings);
      const single = [everybody, ...conditions, ...beginnings];
      const countOf = (condition: Condition): number => each[single.indexOf(condition)] ?? 0;
      const fewest = Math.min(countOf(everybody), ...conditions.map(countOf), any);

      const wayOf = async (all: Condition[]): Promise<Way> => {
        // One index gives the order: the rarest condition's that has one. Times are in each of those indexes.
        const leads = all.filter((condition) => condition.leads === order.by);
        const [rarest] = leads.filter(({ isRange }) => !isRange).sort((a, b) => countOf(a) - countOf(b));
        const leading = leads.filter((condition) => condition === rarest || condition.isRange);
        const others = all.filter((condition) => !leading.includes(condition));
        const way = { all, leading, others };
        if (others.length === 0) return { ...way, by: alongIndex };
        if (Math.min(countOf(everybody), ...all.map(countOf)) <= SORTED) return { ...way, by: sorted };
        const covered = all.length === 1 && all[0]?.covers && (await estimate((param) => allOf(all, param)));
        if (!covered || covered > SORTED_BY_INDEX) return way;
        // Whoever is called alike is next to each other by name, and all over the order of time, where a walk meets enough of them.
        return order.by === 'created_at' ? { ...way, isCovered: true } : { ...way, by: sorted };
      };

      /** Whoever fits in one of several ways is met on one walk, where those ways lead along the same index. */
      const walkFor = async (ways: Way[], reading: Reading): Promise<Part[]> => {
        const [{ leading = [], others = [] } = {}] = ways;
        const own = ways.flatMap(({ others }) => others.filter((condition) => beginnings.includes(condition)));
        const common = others.filter((condition) => !own.includes(condition));
        const either = own.length > 0 ? [{ sql: (param: Param) => anyOf(own, param), indexed: false }] : [];
        const met = await walked(leading, [...common, ...either], reading);
        const isShort = met.next !== undefined && met.places.length < limit;
        if (!isShort || !ways.every(({ isCovered }) => isCovered)) return [met];
        return Promise.all(ways.map(({ all }) => sorted(all, reading)));
      };

      const read = async (reading: Reading): Promise<Part[]> => {
        const alternatives = beginnings.length === 0 ? [conditions] : beginnings.map((one) => [...conditions, one]);
        const ways = await Promise.all(alternatives.map(wayOf));
        const walks = Map.groupBy(
          ways.filter(({ by }) => !by),
          ({ leading }) => leading.map((condition) => single.indexOf(condition)).join(),
        );
        const parts = await Promise.all([
          ...ways.map(async ({ by, all }) => (by ? [await by(all, reading)] : [])),
          ...[...walks.values()].map((together) => walkFor(together, reading)),
        ]);
        return parts.flat();
      };

      const count = async (): Promise<Pick<UserPage, 'total' | 'isEstimate'>> => {
        const simple = conditions.length + Math.min(beginnings.length, 1) < 2;
        if (fewest > COUNTED) {
          // Of one thing asked it is known that it holds for more.
          const least = simple && conditions.every(({ indexed }) => indexed) ? COUNTED + 1 : 0;
          return { total: Math.max(await estimate(whole), least), isEstimate: true };
        }
        if (simple && conditions.every(({ indexed }) => indexed)) return { total: fewest, isEstimate: false };
        const [row] = await query<{ total: number }>(
          (param) => `SELECT count(*)::int AS total FROM users WHERE ${whole(param)}`,
        );
        return { total: row?.total ?? 0, isEstimate: false };
      };

      const reading = { order, after, limit };
      const [parts, total] = await Promise.all([read(reading), count()]);
      const { places, next } = merged(parts, reading);

      const users = await prisma.user.findMany({ where: { id: { in: places.map(({ id }) => id) } } });
      const byId = new Map(users.map((user) => [user.id, user]));
      return { users: places.flatMap(({ id }) => byId.get(id) ?? []), next, ...total };
    },
  };
};
