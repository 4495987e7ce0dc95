/** Words of OpenSSL, gRPC and etcd, and what an administrator can do about them. The first that fits is told. */
const CURES: readonly (readonly [RegExp, string])[] = [
  [
    /self-signed certificate|unable to (?:verify|get)|unknown authority|UNABLE_TO/i,
    'its certificate is not signed by the authority in etcdCa; name the CA file of the etcd cluster',
  ],
  [/certificate has expired|not yet valid/i, 'a certificate has run out, or the clock of this host is wrong'],
  [
    /altnames|Hostname\/IP does not match/i,
    'its certificate is for other names; use an address that the certificate names',
  ],
  [
    /alert (?:bad certificate|certificate required|unknown ca|handshake failure)|SSL alert number (?:40|42|46|48|116)/i,
    'it wants a client certificate of its own authority; set etcdCert and etcdKey',
  ],
  [/wrong version number|packet length too long/i, 'it does not speak TLS; begin its address with http://'],
  [
    /user name is empty|authentication|auth token|permission denied/i,
    'it wants a user: give this API server a client certificate (etcdCert, etcdKey) whose common name is an etcd user with rights to the prefix',
  ],
  [/another etcd cluster/i, 'name the members of one cluster only'],
];

const UNREACHABLE = 'is etcd running there, and does a firewall let this host through?';

/** Words that a server which speaks TLS makes of plain text, and others too. */
const HUNG_UP = /Failed to connect|Connection dropped|ECONNRESET|socket hang up/;

/** gRPC wraps what happened: `No connection established. Last error: <this>. Resolution note: <nothing>`. */
const WRAPPED = /Last error: (.*?)\.?(?: Resolution note: ?.*)?$/s;

/** What OpenSSL and gRPC put around the words that matter: `40C3…:error:0A000412:SSL routines:ssl3_read_bytes:<words>:../deps/…`. */
const AROUND = [
  /^Error: /,
  /^[0-9A-F]+:error:[^:]*:SSL routines:[^:]*:(?=[^:]+:)/,
  /:\.\.\/deps\/.*$/,
  / \(\d{4}-\d\d-\d\dT[^)]*\)$/,
];

export interface StartFailure {
  /** One line. */
  readonly message: string;
  /** Waiting does not help. */
  readonly isFinal: boolean;
}

/** Tells why none of the servers could be used, and what to do. `failures`: the last error by server. */
export function describeStartFailure(failures: ReadonlyMap<string, string>): StartFailure {
  const parts = [...failures].map(([server, raw]) => {
    const told = (WRAPPED.exec(raw)?.[1] || raw).replaceAll(/\s+/g, ' ').trim();
    const text = AROUND.reduce((rest, noise) => rest.replace(noise, ''), told);
    return { server, text, cure: CURES.find(([words]) => words.test(raw))?.[1], guess: guessOf(server, raw) };
  });
  const told = parts.map(({ server, text }) => `${server} (${text})`).join(', ');
  const cures = [...new Set(parts.map(({ cure, guess }) => cure ?? guess))];
  return {
    message: `no etcd server can be used: ${told}; ${cures.join('; ')}`,
    isFinal: parts.every(({ cure }) => cure !== undefined),
  };
}

function guessOf(server: string, raw: string): string {
  if (server.startsWith('http:') && HUNG_UP.test(raw))
    return `${UNREACHABLE} If it wants TLS, begin its address with https://`;
  return raw.includes('Name resolution failed') ? 'is the name right, and does this host find it?' : UNREACHABLE;
}
