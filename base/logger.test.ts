import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';

describe('logger', () => {
  const lines: string[] = [];
  const log = createLogger('brain', 'info', { write: (line) => lines.push(line) });

  it('names a part within a part once', () => {
    log
      .child({ component: 'controllers', controller: 'gc' })
      .child({ controller: 'node' })
      .info('started', { count: 2 });
    const line = lines.pop()!;
    expect(line.match(/"component"/g)).toHaveLength(1);
    expect(line.match(/"controller"/g)).toHaveLength(1);
    expect(JSON.parse(line)).toMatchObject({
      level: 'info',
      component: 'brain/controllers',
      controller: 'node',
      count: 2,
      msg: 'started',
    });
  });

  it('keeps still below its level', () => {
    log.debug('detail');
    expect(lines).toEqual([]);
  });
});
