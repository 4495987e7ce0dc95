/** The thread of scheduler and controllers: a port to the API server and plain settings come in, everything else happens over that port. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { createComponentMetrics, renderComponentMetrics } from './components/run-components.ts';
import { type BrainSettings, startBrain } from './start-brain.ts';

const { port, settings } = workerData as { port: MessagePort; settings: BrainSettings };
const stop = new AbortController();
const metrics = createComponentMetrics();
// The main thread asks for the text of our metrics, or tells us to step down and end.
parentPort?.on('message', (message: 'stop' | 'metrics') => {
  if (message === 'metrics') parentPort?.postMessage(renderComponentMetrics(metrics));
  else stop.abort(new Error('the controller is stopping'));
});
await startBrain(port, settings, stop.signal, metrics);
// The listener alone would keep the thread.
parentPort?.unref();
