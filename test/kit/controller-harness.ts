import { createEventRecorder } from '#api/client/event-recorder.ts';
import { createInformerFactory } from '#api/client/informer-factory.ts';
import { FakeClock } from '#base/fake-clock.ts';
import { silentLogger } from '#base/logger.ts';
import {
  type ControllerContext,
  type ControllersConfig,
  DEFAULT_CONTROLLERS_CONFIG,
  type StartController,
} from '#controller/controllers/controller-context.ts';
import { trimPod } from '#controller/trim-pod.ts';
import { MemoryCluster } from './memory-client.ts';

/** A test that needs more has two controllers fighting each other. */
const MAX_TURNS = 20_000;

/** One or more controllers over an in-memory cluster and a clock that stands still. */
export function createControllerHarness(config: Partial<ControllersConfig> = {}) {
  const clock = new FakeClock();
  const cluster = new MemoryCluster(clock);
  const client = cluster.client();
  const abort = new AbortController();
  const informers = createInformerFactory({ client, clock, log: silentLogger, random: () => 0, freeze: true, trimPod });
  const context: ControllerContext = {
    client,
    informers,
    events: createEventRecorder({ client, component: 'test', clock, log: silentLogger }),
    clock,
    log: silentLogger,
    random: () => 0,
    config: { ...DEFAULT_CONTROLLERS_CONFIG, ...config },
  };
  informers.start(abort.signal);

  /** Lets everything that can happen now happen: until no write was made for some turns of the event loop. */
  async function settle(): Promise<void> {
    for (let turns = 0, quiet = 0, seen = -1; quiet < 10; turns++) {
      if (turns > MAX_TURNS) throw new Error('the controllers never come to rest');
      await new Promise<void>((resolve) => setImmediate(resolve));
      quiet = cluster.revision === seen ? quiet + 1 : 0;
      seen = cluster.revision;
    }
  }

  return {
    clock,
    cluster,
    client,
    context,
    settle,
    start: (...controllers: readonly StartController[]) => {
      for (const start of controllers) {
        start(context, abort.signal).catch((err: unknown) => {
          if (!abort.signal.aborted) throw err;
        });
      }
      return settle();
    },
    advance: async (ms: number) => {
      await clock.advance(ms);
      await settle();
    },
    stop: () => abort.abort(),
  };
}
