/** The disk thread, with a clock that is as many hours ahead as the process says when the thread starts: so that snapshots fall due. */
const realNow = Date.now;
const aheadMs = Number(process.env.HOURS_AHEAD ?? 0) * 3_600_000;
Date.now = () => realNow() + aheadMs;
await import('#controller/store/sqlite-worker.ts');
