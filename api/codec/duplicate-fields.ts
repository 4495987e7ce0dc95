/** Most findings reported for one body, as in Kubernetes. */
const MAX_FINDINGS = 100;

/** Walks text that JSON.parse has accepted and names every key that stands twice in its object. */
export function findDuplicateFields(text: string): string[] {
  const walk: Walk = { text, at: 0, found: [] };
  skipSpace(walk);
  walkValue(walk, '');
  return walk.found.slice(0, MAX_FINDINGS);
}

interface Walk {
  readonly text: string;
  at: number;
  readonly found: string[];
}

function skipSpace(walk: Walk): void {
  while (/[ \t\r\n]/.test(walk.text[walk.at] ?? '')) walk.at++;
}

function walkValue(walk: Walk, path: string): void {
  switch (walk.text[walk.at]) {
    case '{':
      walkObject(walk, path);
      break;
    case '[':
      walkList(walk, path);
      break;
    case '"':
      readString(walk);
      break;
    default:
      while (walk.at < walk.text.length && !/[,\]} \t\r\n]/.test(walk.text[walk.at]!)) walk.at++;
  }
  skipSpace(walk);
}

function walkObject(walk: Walk, path: string): void {
  const seen = new Set<string>();
  walk.at++;
  skipSpace(walk);
  while (walk.text[walk.at] !== '}') {
    const key = readString(walk);
    const keyPath = path === '' ? key : `${path}.${key}`;
    if (seen.has(key)) walk.found.push(`duplicate field "${keyPath}"`);
    seen.add(key);
    skipSpace(walk);
    walk.at++; // the colon
    skipSpace(walk);
    walkValue(walk, keyPath);
    if (walk.text[walk.at] === ',') walk.at++;
    skipSpace(walk);
  }
  walk.at++;
}

function walkList(walk: Walk, path: string): void {
  walk.at++;
  skipSpace(walk);
  for (let index = 0; walk.text[walk.at] !== ']'; index++) {
    walkValue(walk, `${path}[${index}]`);
    if (walk.text[walk.at] === ',') walk.at++;
    skipSpace(walk);
  }
  walk.at++;
}

function readString(walk: Walk): string {
  const start = walk.at++;
  while (walk.text[walk.at] !== '"') walk.at += walk.text[walk.at] === '\\' ? 2 : 1;
  walk.at++;
  return JSON.parse(walk.text.slice(start, walk.at)) as string;
}
