import { AsyncLocalStorage } from 'node:async_hooks';
import { isDeadlock, type PrismaClient, type Tx } from './prisma.ts';

/** Changes that become true together, or not at all. */
export type Unit = {
  tx: Tx;
  /** Last of all before the commit, in order: what locks others out does so for as short as can be. */
  lastly: ((tx: Tx) => Promise<unknown>)[];
  /** Once it is committed. */
  committed: (() => void)[];
  /** Settles when the unit has ended, whether it was committed or not. */
  over: Promise<void>;
  /** What has to be finished before whoever waits for the unit goes on. */
  closing: Promise<unknown>[];
};

/** A transaction that met another's rows in another order is ended by PostgreSQL, and may try again. */
const TRIES = 5;

/**
 * Units under way in one process. They wait for each other at the audit log anyway; waiting here, they take no connections from
 * requests that only read.
 */
const AT_ONCE = 4;
/** Whoever asked for it has been told by then that it was not done. */
const MOST_WAITING_MS = 3_000;

export type Units = ReturnType<typeof createUnits>;
export type Atomically = Units['atomically'];

/**
 * Units of work over every table: who calls `atomically` need not hand a transaction on, for all stores that go through `prisma`
 * below find the one under way. Nothing else may be asked inside of one: a question over another connection waits for this one's
 * locks, and in an embedded database for its end.
 *
 * @param patience How many times as long as usual a unit waits for its turn.
 */
export const createUnits = (client: PrismaClient, patience = 1) => {
  const current = new AsyncLocalStorage<Unit | undefined>();

  /** Inside a unit there is one transaction, so whatever wants its own joins it. */
  const joined = (tx: Tx) => async (work: ((tx: Tx) => Promise<unknown>) | PromiseLike<unknown>[]) => {
    if (typeof work === 'function') return work(tx);
    const results: unknown[] = [];
    // Prisma's promises start when they are waited for.
    for (const one of work) results.push(await one);
    return results;
  };

  /** The client, or the transaction under way. */
  const prisma = new Proxy(client, {
    get(_, name) {
      const unit = current.getStore();
      if (unit && name === '$transaction') return joined(unit.tx);
      const source: object = unit?.tx ?? client;
      const value: unknown = Reflect.get(source, name);
      return typeof value === 'function' ? value.bind(source) : value;
    },
  });

  let free = AT_ONCE;
  const waiting: (() => void)[] = [];
  const inTurn = async <T>(run: () => Promise<T>): Promise<T> => {
    if (free > 0) free -= 1;
    else
      await new Promise<void>((resolve, reject) => {
        const turn = () => {
          clearTimeout(timer);
          resolve();
        };
        const timer = setTimeout(() => {
          waiting.splice(waiting.indexOf(turn), 1);
          reject(new Error('too much is waiting to be written'));
        }, MOST_WAITING_MS * patience);
        waiting.push(turn);
      });
    try {
      return await run();
    } finally {
      // Handed on rather than given back: nobody who comes in between goes first.
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };

  const once = async <T>(work: () => Promise<T>): Promise<T> => {
    let end = () => {};
    const unit: Omit<Unit, 'tx'> = {
      lastly: [],
      committed: [],
      over: new Promise((resolve) => {
        end = resolve;
      }),
      closing: [],
    };
    try {
      const result = await client.$transaction((tx) =>
        current.run({ ...unit, tx }, async () => {
          const done = await work();
          for (const last of unit.lastly) await last(tx);
          return done;
        }),
      );
      for (const then of unit.committed) then();
      return result;
    } finally {
      end();
      await Promise.all(unit.closing);
    }
  };

  return {
    prisma,

    /** The unit under way, for stores that have more to do than write rows. */
    current: (): Unit | undefined => current.getStore(),

    /** Calls back once what was written is there for everybody: now, or when the unit under way is committed. */
    afterwards(then: () => void): void {
      const unit = current.getStore();
      if (unit) unit.committed.push(() => current.run(undefined, then));
      else then();
    },

    /**
     * Whatever `work` writes is written as a whole, the audit log and the mails that wait included; when it throws, nothing is.
     * Inside another unit it is part of that one.
     *
     * @param work Of nothing but the stores; run again when PostgreSQL ends it for another's sake.
     */
    async atomically<T>(work: () => Promise<T>): Promise<T> {
      if (current.getStore()) return work();
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await inTurn(() => once(work));
        } catch (error) {
          if (!isDeadlock(error) || attempt === TRIES) throw error;
        }
      }
    },
  };
};
