/** The thread of scheduler and controllers: a port to the API server and plain settings come in, everything else happens over that port. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type BrainSettings, startBrain } from './start-brain.ts';

const { port, settings } = workerData as { port: MessagePort; settings: BrainSettings };
const stop = new AbortController();
// The only message from the main thread: step down and end.
parentPort?.once('message', () => stop.abort(new Error('the controller is stopping')));
await startBrain(port, settings, stop.signal);
