import type { CommitMark, MarksOnDisk } from './commit-mark.ts';
import type { PageSums } from './page-sums.ts';
import type { WalScan } from './wal-file.ts';

/** What lies in a store's folder, read without SQLite. */
export interface Evidence {
  readonly marks: MarksOnDisk;
  /** The sums that the mark names, or the newest sound ones where there is no mark; undefined: none. */
  readonly sums: PageSums | undefined;
  /** CRC-32 of every page of the database file; undefined: no such file. */
  readonly pages: Uint32Array | undefined;
  readonly wal: WalScan | undefined;
  /** 0: absent or empty. */
  readonly walBytes: number;
  /** Files that only a store which once had a mark leaves: sums, snapshots. */
  readonly hasCompanions: boolean;
}

export type Condition =
  /** Nothing there yet. */
  | 'empty'
  /** No marks so far: a store of an older build, or one that was being made. */
  | 'unmarked'
  /** Everything that was acknowledged is there. */
  | 'sound'
  /** The database is whole up to a point, and commits behind it are lost. */
  | 'cut'
  /** It cannot be told: the evidence is lost or contradicts itself. SQLite's own checks and the newest revision decide. */
  | 'unsure'
  /** Parts of the database file are lost. */
  | 'destroyed';

export interface Judgement {
  readonly condition: Condition;
  /** What was found, in words; also harmless things where `condition` is sound. */
  readonly findings: readonly string[];
  /** The WAL holds nothing that counts, and SQLite would replay it: it must go before the file is opened. */
  readonly dropWal: boolean;
}

const NOTHING: Judgement = { condition: 'sound', findings: [], dropWal: false };

/**
 * Tells what a disk has lost. The rule behind it: an honest disk may lose, tear and reorder what was written after the last fsync of a
 * file, and nothing else; it writes a sector whole or not at all. Pure.
 */
export function judge(evidence: Evidence): Judgement {
  const judgement = judgeContent(evidence);
  const { mark, garbledSlots } = evidence.marks;
  if (mark === undefined || garbledSlots === 0) return judgement;
  return { ...judgement, findings: [...judgement.findings, 'one of the two commit marks (state.mark) is garbled'] };
}

function judgeContent(evidence: Evidence): Judgement {
  const { marks, pages, hasCompanions } = evidence;
  const { mark } = marks;
  if (mark?.isNew || (mark === undefined && !marks.isFileThere && !hasCompanions)) {
    return { ...NOTHING, condition: pages === undefined ? 'empty' : 'unmarked' };
  }
  if (mark === undefined) return withoutMark(evidence);
  if (pages === undefined) return destroyed(['state.db is missing']);
  const isOurs = evidence.wal !== undefined && isGenerationOf(evidence.wal, mark);
  if (evidence.sums === undefined) {
    const findings = ['the checksums of state.db (state.sums) are missing, old or garbled'];
    return { condition: 'unsure', findings, dropWal: !isOurs };
  }
  const wal = isOurs ? evidence.wal : undefined;
  return withMark({ mark, sums: evidence.sums, pages, wal, walBytes: evidence.walBytes });
}

function withoutMark({ marks, sums, pages, wal }: Evidence): Judgement {
  const finding = marks.isFileThere
    ? 'the commit mark (state.mark) is garbled'
    : 'the commit mark (state.mark) is missing';
  if (pages === undefined) return destroyed([finding, 'state.db is missing']);
  const damaged = sums === undefined ? [] : damagedPages(sums, pages).filter((page) => !wal?.frameOfPage.has(page));
  if (damaged.length > 0) return destroyed([finding, namePages(damaged)]);
  return { condition: 'unsure', findings: [finding], dropWal: false };
}

interface Marked {
  readonly mark: CommitMark;
  readonly sums: PageSums;
  readonly pages: Uint32Array;
  /** Of the mark's generation. */
  readonly wal: WalScan | undefined;
  readonly walBytes: number;
}

function withMark(marked: Marked): Judgement {
  const { mark, sums, pages, wal } = marked;
  const damaged = damagedPages(sums, pages);
  const uncovered = damaged.filter((page) => !wal?.frameOfPage.has(page));
  if (wal !== undefined && reaches(wal, mark)) {
    if (uncovered.length > 0) return destroyed([namePages(uncovered)]);
    if (wal.hasFramesBehindBreak) {
      return {
        condition: 'cut',
        findings: [`state.db-wal is garbled behind frame ${wal.committedFrames}`],
        dropWal: false,
      };
    }
    // While frames are folded, pages of the file that they replace may be anything.
    const isStale = damaged.length > 0 && mark.foldedFrames === 0;
    return isStale ? { ...NOTHING, findings: [`${namePages(damaged)}; state.db-wal holds newer ones`] } : NOTHING;
  }
  if (mark.frames <= mark.foldedFrames) return folded(marked, damaged);
  return cut(marked, damaged);
}

/** Nothing was acknowledged behind what the file holds; the WAL does not matter any more. */
function folded({ mark, wal, walBytes }: Marked, damaged: readonly number[]): Judgement {
  if (damaged.length > 0) {
    // Whether the fold had come to its end cannot be known.
    const isMissing = wal === undefined && mark.foldedFrames > 0;
    const why =
      wal !== undefined
        ? ['state.db-wal is garbled']
        : isMissing
          ? ['state.db-wal, which was folded into them, is missing']
          : [];
    return destroyed([namePages(damaged), ...why]);
  }
  const findings = wal === undefined ? [] : ['state.db-wal is garbled; all of it is in state.db already'];
  return { condition: 'sound', findings, dropWal: walBytes > 0 };
}

function cut({ mark, wal, walBytes }: Marked, damaged: readonly number[]): Judgement {
  const found = wal?.committedFrames ?? 0;
  const what =
    wal !== undefined
      ? `state.db-wal has lost commits: ${mark.frames} frames were durable, ${found} are sound`
      : walBytes === 0
        ? `state.db-wal is missing: it held ${mark.frames} frames`
        : `state.db-wal is garbled at its beginning, or another one: ${mark.frames} frames are lost`;
  // What had begun to be folded is whole in the file only with all of its frames, or where the fold came to its end.
  const coversFold = wal !== undefined && found >= mark.foldedFrames;
  const uncovered = coversFold ? damaged.filter((page) => !wal.frameOfPage.has(page)) : damaged;
  if (uncovered.length === 0) return { condition: 'cut', findings: [what], dropWal: !coversFold };
  // Somebody may have opened the file with another program, which folds the WAL and deletes it.
  if (walBytes === 0) return { condition: 'unsure', findings: [what, namePages(uncovered)], dropWal: false };
  return destroyed([what, namePages(uncovered)]);
}

const destroyed = (findings: readonly string[]): Judgement => ({ condition: 'destroyed', findings, dropWal: true });

const isGenerationOf = (wal: WalScan, mark: CommitMark) =>
  mark.frames > 0 && wal.salt1 === mark.salt1 && wal.salt2 === mark.salt2;

function reaches(wal: WalScan, { frames, checksum }: CommitMark): boolean {
  if (wal.committedFrames < frames) return false;
  const found = wal.checksumOf(frames);
  return found[0] === checksum[0] && found[1] === checksum[1];
}

/** Numbers from 1, as SQLite counts. */
function damagedPages({ sums }: PageSums, pages: Uint32Array): number[] {
  const damaged: number[] = [];
  for (let at = 0; at < sums.length; at++) if (sums[at] !== pages[at]) damaged.push(at + 1);
  return damaged;
}

const NAMED_PAGES = 8;

function namePages(pages: readonly number[]): string {
  const named = pages.slice(0, NAMED_PAGES).join(', ');
  const rest = pages.length > NAMED_PAGES ? ` and ${pages.length - NAMED_PAGES} more` : '';
  return `${pages.length === 1 ? 'page' : 'pages'} ${named}${rest} of state.db ${pages.length === 1 ? 'is' : 'are'} garbled or missing`;
}
