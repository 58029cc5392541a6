// Goes through the audit log and finds the first row that is not as it was written. Exit code 1 when there is one.
import { script, withApp } from './with-app.ts';

await script(() =>
  withApp(async ({ audit }) => {
    const { events, head, broken } = await audit.verify();
    if (broken) throw new Error(`the audit log is broken at row ${broken.seq}: ${broken.reason}`);
    // Rows cut off its end leave no trace in the log: the head of an earlier run has to be still in it.
    return { events, head, intact: true };
  }),
);
