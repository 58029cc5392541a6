// Loaded before the server (--import): its clock goes wrong by so many milliseconds, as that of a machine without NTP does.
const offset = Number(process.env.CLOCK_OFFSET_MS ?? '0');
const Right = Date;

globalThis.Date = new Proxy(Right, {
  construct: (target, args, made) => Reflect.construct(target, args.length === 0 ? [Right.now() + offset] : args, made),
  apply: () => new Right(Right.now() + offset).toString(),
  get: (target, name, receiver) => (name === 'now' ? () => Right.now() + offset : Reflect.get(target, name, receiver)),
});
