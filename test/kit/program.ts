/**
 * For processes of bin/coracle. Tests run the sources, because nobody knows how old a bundle is; `scripts/test` has just made one, which starts
 * in a third of the time.
 */
export const programEnvironment: Readonly<Record<string, string>> =
  process.env.CORACLE_BUILT === '1' ? {} : { CORACLE_FROM_SOURCE: '1' };
